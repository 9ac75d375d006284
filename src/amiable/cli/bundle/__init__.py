"""``amiable bundle``: classic bundles, made and opened here, carried over S3.

One verb a file.  Short flags are those of ec2-ami-tools (``-i -c -k -u -d -r -p -B``, ``-m -b``), and so are the variables.
What works on the bundle is imported when a command runs: it costs more than ``--help`` may take.
"""

import cyclopts

app = cyclopts.App(name="bundle", help="Classic bundles: create, verify, unbundle, upload.")
app.command("amiable.cli.bundle.create:create", name="create", help="Bundle a disk image: compress, encrypt, sign, cut into parts.")
app.command("amiable.cli.bundle.verify:verify", name="verify", help="Check a bundle; write nothing.")
app.command("amiable.cli.bundle.unbundle:unbundle", name="unbundle", help="Open a bundle: the image, holes kept.")
app.command("amiable.cli.bundle.upload:upload", name="upload", help="Upload a bundle to a bucket.")
