# syntax=docker/dockerfile:1
# Every image of the team set-up that is ours, a target each:
#   docker build -f infra/images/relay.Dockerfile --target relay -t relayllm/relay:0.1.0 .
# Versions are those of constraints.txt; nothing calls home.
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS base
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1 MLFLOW_DISABLE_TELEMETRY=true PREFECT_SERVER_ANALYTICS_ENABLED=false \
    HF_HUB_DISABLE_TELEMETRY=1 GX_ANALYTICS_ENABLED=false DVC_NO_ANALYTICS=1 VLLM_NO_USAGE_STATS=1
# The folder is there and owned, so that a volume mounted on it is, too.
RUN useradd --create-home --uid 10001 relay && install -d -o relay -g relay /home/relay/.cache/huggingface && \
    chown relay:relay /home/relay/.cache && install -d -o relay -g relay /weights && python -m venv /opt/venv && chown -R relay /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY constraints.txt infra/images/server-constraints.txt /build/
COPY --chmod=755 infra/images/probe.py /usr/local/bin/probe

# The tracking server and model registry.
FROM base AS tracking
RUN pip install -c /build/constraints.txt -c /build/server-constraints.txt 'mlflow[auth]' psycopg2-binary boto3
COPY --chmod=755 infra/images/tracking.sh /usr/local/bin/tracking
RUN install -d -o relay -g relay /artifacts
USER relay
WORKDIR /home/relay
EXPOSE 5000
CMD ["tracking"]

# The flow server.
FROM base AS orchestration
RUN pip install -c /build/constraints.txt prefect asyncpg
USER relay
WORKDIR /home/relay
EXPOSE 4200
CMD ["prefect", "server", "start", "--host", "0.0.0.0"]

# The platform itself: Prefect worker, training job, relay server.
# On GPUs: --build-arg EXTRA_INDEX_URL=<the index with CUDA builds of torch>.
FROM base AS relay
ARG EXTRA_INDEX_URL=""
RUN apt-get update && apt-get install -y --no-install-recommends git g++ make && rm -rf /var/lib/apt/lists/*
WORKDIR /project
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN PIP_EXTRA_INDEX_URL=${EXTRA_INDEX_URL} pip install -c /build/constraints.txt -c /build/server-constraints.txt '.[postgres]'
COPY --chmod=755 infra/images/checkout.sh /usr/local/bin/checkout
COPY --chmod=755 infra/images/deployments.sh /usr/local/bin/deployments
COPY --chmod=755 infra/images/train.sh /usr/local/bin/train
COPY --chmod=755 infra/images/await_champion.py /usr/local/bin/await-champion
COPY . .
# Stages run from the checkout that is mounted here, or from this copy when nothing is.
ENV PYTHONPATH=/project/src:/project RELAY_ROOT=/project
# .store: what the server fetches from the registry and from the hub.
RUN install -d /project/.store && chown -R relay:relay /project && git config --system --add safe.directory /project
USER relay
EXPOSE 8000
CMD ["relay", "serve", "--host", "0.0.0.0", "--port", "8000"]

# A teacher without a GPU, for trying the set-up. With one: the vllm/vllm-openai image, same arguments.
FROM base AS teacher-cpu
RUN apt-get update && apt-get install -y --no-install-recommends g++ libnuma1 && rm -rf /var/lib/apt/lists/*
COPY infra/vllm/requirements.txt /build/vllm.txt
# torchvision, torchaudio and torchcodec as published do not fit this torch: vLLM imports them when it finds them.
RUN pip install -r /build/vllm.txt && pip uninstall -y torchvision torchaudio torchcodec
ENV VLLM_CPU_KVCACHE_SPACE=1
USER relay
WORKDIR /home/relay
EXPOSE 8000
ENTRYPOINT ["python3", "-m", "vllm.entrypoints.openai.api_server"]

# A student's server: the same, with the grammar of commands, which vLLM finds by its entry point.
FROM teacher-cpu AS student-cpu
USER root
COPY infra/vllm /build/relayllm-vllm
RUN pip install --no-deps /build/relayllm-vllm
USER relay
