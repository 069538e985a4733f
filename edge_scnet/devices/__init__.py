"""The user's own boards and machines, over SSH: jobs run there, and nothing of them is lost.

    find_devices(words, *, folder) -> tuple[Device, ...]        which devices `--device` names
    connected(device) -> async context manager of a Link        an open, authenticated connection
    run_job(link, job, *, settings, shown) -> Done              one job: checked, run, followed,
                                                                and its files brought back
    run_on(device, job, *, settings, shown) -> Done             both, and again after a lost link

`device.py` has the records and the files that they come from, `connection.py` the link, `inputs.py`
what goes over, `checks.py` what is refused, `transfer.py` files both ways, `job.py` a job from its
checks to its files, `bundles.py` a bundle's build.sh as a job; the `.sh` files are what runs there,
with a POSIX shell and a few programs of any Linux. A fleet awaits several `run_on` at once. Nothing
here knows commands of the command line, nor what engines are.
"""
