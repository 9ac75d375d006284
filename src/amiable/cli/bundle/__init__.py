"""``amiable bundle``: classic bundles, made and opened here, carried over S3.

One verb a file.  Short flags are those of ec2-ami-tools (``-i -c -k -u -d -r -p -B``, ``-m -b``), and so are the variables.
What works on the bundle is imported when a command runs: it costs more than ``--help`` may take.
"""

import cyclopts

from amiable.cli.bundle.create import create
from amiable.cli.bundle.delete import delete
from amiable.cli.bundle.download import download
from amiable.cli.bundle.instance import cancel, instance, tasks
from amiable.cli.bundle.migrate import migrate
from amiable.cli.bundle.publish import publish
from amiable.cli.bundle.read import read
from amiable.cli.bundle.show import show
from amiable.cli.bundle.unbundle import unbundle
from amiable.cli.bundle.upload import upload
from amiable.cli.bundle.verify import verify
from amiable.cli.bundle.volume import volume

app = cyclopts.App(name="bundle", help="Classic bundles: create, publish, upload, migrate, …")
for verb in (
    cancel,
    create,
    delete,
    download,
    instance,
    migrate,
    publish,
    read,
    show,
    tasks,
    unbundle,
    upload,
    verify,
    volume,
):
    app.command(verb)
