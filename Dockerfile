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
# Without what no program needs when it runs: tests, types, and languages that Pharos has no words in.
RUN python3 -m venv /opt/pharos \
    && /opt/pharos/bin/pip install --quiet --no-cache-dir --no-compile --no-deps --require-hashes -r requirements.lock \
    && /opt/pharos/bin/pip uninstall --quiet --yes setuptools pip \
    && cd /opt/pharos/lib/python3*/site-packages \
    && find . -depth -type d \( -name tests -o -name test -o -name __pycache__ \) -exec rm -rf {} + \
    && find . -type d -path '*/locale/*' -prune ! -name 'en*' -exec rm -rf {} + \
    && find . -type f \( -name '*.pyi' -o -name '*.po' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.[ah]' \) -delete
COPY . ./
RUN PATH=/opt/pharos/bin:$PATH PHAROS_DATA_DIR=/tmp/data PHAROS_STATIC_DIR=/srv/pharos/collected \
        python manage.py collectstatic --no-input --verbosity 0 \
    && /opt/pharos/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/pharos /srv/pharos

FROM python:${PYTHON}-slim-bookworm
RUN groupadd --gid 10001 pharos \
    && useradd --uid 10001 --gid pharos --no-create-home --home-dir /data --shell /usr/sbin/nologin pharos \
    && install -d -o pharos -g pharos -m 0750 /data
COPY --from=build /opt/pharos /opt/pharos
COPY --from=build /srv/pharos /srv/pharos
ENV PATH=/opt/pharos/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PHAROS_DATA_DIR=/data \
    PHAROS_HOST=0.0.0.0 \
    PHAROS_STATIC_DIR=/srv/pharos/collected
WORKDIR /srv/pharos
USER pharos
VOLUME /data
EXPOSE 8000
# Of the web server; docker-compose.yml turns it off for processes that have none.
HEALTHCHECK --interval=10s --timeout=10s --start-period=180s --retries=3 CMD ["python", "-I", "-S", "monitor/alive.py"]
ENTRYPOINT ["python", "manage.py"]
CMD ["up"]
