"""Programs that unpack a gzip stream from standard input: what may meet a bundle of ours, by its own code."""

from typing import Final

PYTHON_DECOMPRESSOBJ = """
import sys, zlib
reader = zlib.decompressobj(31)
while piece := sys.stdin.buffer.read(65536):
    sys.stdout.buffer.write(reader.decompress(piece))
assert reader.eof and not reader.unused_data
"""
PYTHON_DECOMPRESS = "import sys, zlib; sys.stdout.buffer.write(zlib.decompress(sys.stdin.buffer.read(), 31))"
PYTHON_GZIP = "import sys, gzip, shutil; shutil.copyfileobj(gzip.open(sys.stdin.buffer), sys.stdout.buffer)"
NODE = "process.stdin.pipe(require('zlib').createGunzip()).pipe(process.stdout)"
NODE_AT_ONCE = "process.stdout.write(require('zlib').gunzipSync(require('fs').readFileSync(0)))"
PERL = "use IO::Uncompress::Gunzip qw(gunzip $GunzipError); gunzip('-' => '-') or die $GunzipError"
JAVA = """
import java.io.*;
import java.util.zip.GZIPInputStream;

public class Gunzip {
    public static void main(String[] words) throws IOException {
        InputStream given = new FilterInputStream(System.in) {
            public int available() { return 0; }
        };
        new GZIPInputStream(given).transferTo(System.out);
    }
}
"""
"""Over a stream that never says what is available, as a socket does: there a reader may take the first member for the whole."""

READERS: Final[dict[str, list[str]]] = {
    "GNU gzip": ["gzip", "-dc"],
    "pigz": ["pigz", "-dc"],
    "busybox": ["busybox", "gunzip", "-c"],
    "zstd": ["zstd", "-dc", "--format=gzip"],
    "Python gzip": ["python3", "-c", PYTHON_GZIP],
    "Python zlib.decompress": ["python3", "-c", PYTHON_DECOMPRESS],
    "Python zlib.decompressobj": ["python3", "-c", PYTHON_DECOMPRESSOBJ],
    "Java GZIPInputStream": ["java", "-Xshare:auto", "Gunzip.java"],
    "Node createGunzip": ["node", "-e", NODE],
    "Node gunzipSync": ["node", "-e", NODE_AT_ONCE],
    "Perl IO::Uncompress::Gunzip": ["perl", "-e", PERL],
}
