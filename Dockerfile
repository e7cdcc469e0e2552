# One image for web and worker: small, not root. It listens beyond loopback, so it asks for a client:
#   docker run --rm -v kinbridge:/data kinbridge client add ehr clinic/chart 'system/*.crus' kinbridge/refer
#   docker run -p 8000:8000 -v kinbridge:/data -e KINBRIDGE_PUBLIC_URL=https://exchange.example.org kinbridge
FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements.lock requirements.runtime.lock pyproject.toml README.md LICENSE ./
RUN python -m venv /tmp/build && /tmp/build/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
RUN python -m venv /opt/kinbridge && /opt/kinbridge/bin/pip install --no-cache-dir --require-hashes -r requirements.runtime.lock
COPY app ./app
COPY mappings ./mappings
COPY fhir_profiles ./fhir_profiles
RUN /tmp/build/bin/python -m hatchling build -t wheel -d /tmp/wheel \
 && /opt/kinbridge/bin/pip install --no-cache-dir --no-deps /tmp/wheel/*.whl

FROM python:3.11-slim
RUN useradd --system --uid 10001 kinbridge && mkdir /data && chown kinbridge /data
COPY --from=build /opt/kinbridge /opt/kinbridge
USER kinbridge
WORKDIR /data
VOLUME /data
ENV PATH=/opt/kinbridge/bin:$PATH PYTHONUNBUFFERED=1 KINBRIDGE_HOST=0.0.0.0 KINBRIDGE_DATABASE_URL=sqlite:////data/kinbridge.db
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["kinbridge"]
CMD ["serve"]
