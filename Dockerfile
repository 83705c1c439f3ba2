# Pharos, one image for each of its processes. It is made with BuildKit and with the builder before it.
#
#   docker build -t pharos .
#   docker run -p 127.0.0.1:8000:8000 -v pharos:/data pharos        everything in one container
#   docker run pharos run web                                      one process: see docker-compose.yml

ARG PYTHON=3.11

# With compilers, for machines that a package has no wheel for.
FROM python:${PYTHON}-bookworm AS build
# A mirror of PyPI, if there is one; pip reads it from the environment.
ARG PIP_INDEX_URL
WORKDIR /srv/pharos
COPY requirements.lock ./
# Without what no program needs when it runs: tests, types, debug symbols, a compiler of FlatBuffers, what lxml has for
# HTML, and languages that Pharos has no words in. (The libraries in *.libs were patched when their wheels were made:
# stripped, they don't load.) Packages are compiled and leave their sources behind (a traceback then names their files
# and lines, and quotes ours only), but for Apprise, which looks for its own by name.
RUN python3 -m venv /opt/pharos \
    && /opt/pharos/bin/pip install --quiet --no-cache-dir --no-compile --no-deps --require-hashes -r requirements.lock \
    && /opt/pharos/bin/pip uninstall --quiet --yes setuptools pip \
    && cd /opt/pharos/lib/python3*/site-packages \
    && rm -rf autobahn/_flatc lxml/html lxml/isoschematron lxml/objectify* \
    && find . -depth -type d \( -name tests -o -name test -o -name __pycache__ \) -exec rm -rf {} + \
    && find . -type d -path '*/locale/*' -prune ! -name 'en*' -exec rm -rf {} + \
    && find . -type f \( -name '*.pyi' -o -name '*.po' -o -name '*.pyx' -o -name '*.px[di]' -o -name '*.[ah]' \) -delete \
    && find . -type f -name '*.so' ! -path '*.libs/*' -exec strip --strip-unneeded {} + \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash apprise \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -b -x /apprise/ . \
    && find . -type f -name '*.py' ! -path './apprise/*' -delete
COPY . ./
# Static files of packages are collected, so they needn't be there twice.
RUN PATH=/opt/pharos/bin:$PATH PHAROS_DATA_DIR=/tmp/data PHAROS_STATIC_DIR=/srv/pharos/collected \
        python manage.py collectstatic --no-input --verbosity 0 \
    && cd /opt/pharos/lib/python3*/site-packages \
    && rm -rf django/contrib/*/static unfold/static unfold/contrib/*/static django_htmx/static \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /srv/pharos

# Of Debian only Python and the libraries that it and the packages are linked with: no shell and no package manager.
FROM python:${PYTHON}-slim-bookworm AS system
COPY --from=build /opt/pharos /opt/pharos
RUN mkdir -p /system/etc /system/var/lib/dpkg \
    && install -d -m 1777 /system/tmp \
    && install -d -m 0750 -o 10001 -g 10001 /system/data \
    && printf '%s\n' root:x:0:0::/root:/usr/sbin/nologin pharos:x:10001:10001::/data:/usr/sbin/nologin >/system/etc/passwd \
    && printf '%s\n' root:x:0: pharos:x:10001: >/system/etc/group \
    && python=$(readlink -f "$(command -v python3)") \
    && library=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))') \
    && (cd "$library" && rm -rf ensurepip idlelib lib2to3 pydoc_data test tkinter turtle* config-* site-packages \
        && find . -depth -type d -name __pycache__ -exec rm -rf {} +) \
    && find "$library" /opt/pharos "$python" -type f \( -name '*.so' -o -name '*.so.[0-9]*' -o -perm /100 \) >/programs \
    && { xargs ldd </programs >/linked 2>/dev/null || true; } \
    && ! grep 'not found' /linked \
    && sed -n 's,^[^/]*\(/[^ ]*\) (0x.*,\1,p' /linked | grep -v ^/opt/ | sort -u >/libraries \
    && xargs cp -L --parents --target-directory=/system </libraries \
    && cp -a --parents "$python" /usr/local/bin/python3 "$library" /etc/ssl /usr/lib/ssl /usr/share/ca-certificates \
        /etc/nsswitch.conf /etc/os-release /usr/lib/os-release /usr/lib/locale/C.utf8 /system \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -s /system "/system$library" \
    && ldconfig -r /system \
# What is there, for programs that look for packages with known faults.
    && sed 's,.*/,*/,' /libraries | xargs dpkg -S | sed 's/:.*//' | sort -u \
        | xargs dpkg-query -s ca-certificates >/system/var/lib/dpkg/status

FROM scratch
COPY --from=system /system /
COPY --from=build /opt/pharos /opt/pharos
COPY --from=build /srv/pharos /srv/pharos
ENV PATH=/opt/pharos/bin:/usr/local/bin:/usr/bin \
    HOME=/tmp \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PHAROS_DATA_DIR=/data \
    PHAROS_HOST=0.0.0.0 \
    PHAROS_STATIC_DIR=/srv/pharos/collected
WORKDIR /srv/pharos
USER pharos
# Every library can still be loaded.
RUN ["python", "-c", "import ctypes, pathlib as p; [ctypes.CDLL(str(s)) for s in p.Path('/opt').rglob('*.so')]"]
VOLUME /data
EXPOSE 8000
# Of the web server; docker-compose.yml turns it off for processes that have none.
HEALTHCHECK --interval=10s --timeout=10s --start-period=180s --retries=3 CMD ["python", "-I", "-S", "monitor/alive.py"]
ENTRYPOINT ["python", "manage.py"]
CMD ["up"]
