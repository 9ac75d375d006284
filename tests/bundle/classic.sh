#!/bin/bash
# The classic tools alone make and undo a bundle: tar, gzip, openssl, split.  Shares no line with Amiable.
#   classic.sh bundle IMAGE FOLDER USER.key USER.crt EC2.crt      classic.sh unbundle MANIFEST PRIVATE.key USER.crt OUT-FOLDER
set -euo pipefail

hex() { od -An -v -tx1 "$@" | tr -d ' \n'; }
unhex() { perl -ne 'chomp; print pack "H*", $_'; }
element() { grep -o "<$1[^>]*>[^<]*</$1>" "$2" | sed 's/<[^>]*>//g'; }
wrap() { printf %s "$1" | openssl pkeyutl -encrypt -certin -inkey "$2" -pkeyopt rsa_padding_mode:pkcs1 | hex; }
unwrap() { element "$1" "$2" | unhex | openssl pkeyutl -decrypt -inkey "$3" -pkeyopt rsa_padding_mode:pkcs1; }

bundle() {
  local image=$1 folder=$2 key crt=$4 ec2=$5 name aes iv parts="" index=0 machine text
  key=$3 name=$(basename "$1") aes=$(openssl rand -hex 16) iv=$(openssl rand -hex 16)
  tar -c -h -S --owner 0 --group 0 -C "$(dirname "$image")" "$name" | tee >(sha1sum | cut -c1-40 > "$folder/digest") \
    | gzip -6 | openssl enc -e -aes-128-cbc -K "$aes" -iv "$iv" | split -b 10485760 -d -a 2 - "$folder/$name.part."
  while [ ! -s "$folder/digest" ]; do sleep 0.05; done
  for part in "$folder/$name".part.*; do
    parts+="<part index='$index'><filename>$(basename "$part")</filename>"
    parts+="<digest algorithm='SHA1'>$(sha1sum < "$part" | cut -c1-40)</digest></part>"
    index=$((index + 1))
  done
  machine="<machine_configuration><architecture>x86_64</architecture></machine_configuration>"
  text="<image><name>$name</name><user>123456789012</user><type>machine</type>"
  text+="<digest algorithm='SHA1'>$(cat "$folder/digest")</digest><size>$(stat -L -c %s "$image")</size>"
  text+="<bundled_size>$(cat "$folder/$name".part.* | wc -c)</bundled_size>"
  text+="<ec2_encrypted_key algorithm='AES-128-CBC'>$(wrap "$aes" "$ec2")</ec2_encrypted_key>"
  text+="<user_encrypted_key algorithm='AES-128-CBC'>$(wrap "$aes" "$crt")</user_encrypted_key>"
  text+="<ec2_encrypted_iv>$(wrap "$iv" "$ec2")</ec2_encrypted_iv><user_encrypted_iv>$(wrap "$iv" "$crt")</user_encrypted_iv>"
  text+="<parts count='$index'>$parts</parts></image>"
  printf "<?xml version='1.0'?><manifest><version>2007-10-10</version><bundler><name>sh</name><version>1</version><release/></bundler>%s%s<signature>%s</signature></manifest>" \
    "$machine" "$text" "$(printf %s "$machine$text" | openssl dgst -sha1 -sign "$key" | hex)" > "$folder/$name.manifest.xml"
  rm "$folder/digest"
}

unbundle() {
  local manifest=$1 key=$2 crt=$3 out=$4 folder
  folder=$(dirname "$manifest")
  grep -o '<machine_configuration>.*</machine_configuration>' "$manifest" | tr -d '\n' > "$out/signed"
  grep -o '<image>.*</image>' "$manifest" | tr -d '\n' >> "$out/signed"
  element signature "$manifest" | unhex > "$out/signature"
  openssl x509 -in "$crt" -pubkey -noout > "$out/public"
  openssl dgst -sha1 -verify "$out/public" -signature "$out/signature" "$out/signed" >&2
  (cd "$folder" && paste -d ' ' <(element digest "$manifest" | tail -n +2) <(element filename "$manifest" | sed 's/^/ /') | sha1sum -c --strict --quiet)
  (cd "$folder" && element filename "$manifest" | xargs cat) \
    | openssl enc -d -aes-128-cbc -K "$(unwrap user_encrypted_key "$manifest" "$key")" -iv "$(unwrap user_encrypted_iv "$manifest" "$key")" \
    | gzip -dc | tee >(sha1sum | cut -c1-40 > "$out/digest") | tar -x -C "$out"
  while [ ! -s "$out/digest" ]; do sleep 0.05; done
  [ "$(cat "$out/digest")" = "$(element digest "$manifest" | head -1)" ]
}

"$@"
