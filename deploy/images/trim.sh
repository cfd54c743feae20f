# Takes from the image of Python what no program of ours has a use for: run by the Dockerfile, as root.
set -eu
library=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
rm -rf "$library"/ensurepip "$library"/idlelib "$library"/turtledemo "$library"/tkinter "$library"/pydoc_data "$library"/test
rm -rf "$library"/config-3.13-* "$library"/site-packages/pip* /usr/lib/python3/dist-packages/pip* /usr/share/python-wheels
rm -rf /usr/local/bin/pip* /usr/bin/pip* /usr/local/include /usr/include
rm -rf /usr/share/doc /usr/share/man /usr/share/info /usr/share/locale /usr/share/lintian /usr/share/bug
rm -rf /var/lib/apt/lists /var/cache/apt /var/cache/debconf /var/log/* /root/.cache /tmp/*
