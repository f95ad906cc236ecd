"""What runs on the far side of a job's fork: the warden and the kernel calls it needs.

Nothing here imports anything but the standard library, and siblings are imported relatively, because the
warden is started as `python -I -S` with this folder's parent as its only extra path: it needs no installed
package, reads no configuration, and starts in a few milliseconds.
"""
