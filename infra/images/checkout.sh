#!/bin/sh
# Bring RELAY_ROOT to RELAY_REVISION of RELAY_REPOSITORY, whatever state an earlier run, a person or a crash left there.
# Outputs, checkpoints and DVC's cache are git-ignored and stay; so does dvc.lock, which tells of these outputs: another
# machine's would have DVC run everything again. At the same revision nothing is touched; at another one, whatever else
# was changed gives way and is kept as a commit on a branch named left/TIME.
set -eu
root=${RELAY_ROOT:-/project}

misconfigured() {  # 64 is not retried: see podFailurePolicy of the training job
    echo "checkout: $1" >&2
    exit 64
}

case ${RELAY_REPOSITORY:-} in
    "") misconfigured "RELAY_REPOSITORY is empty: set it to the address of your repository" ;;
    *example.com*) misconfigured "RELAY_REPOSITORY is the example $RELAY_REPOSITORY: set yours in infra/kubernetes/site" ;;
esac
[ -n "${RELAY_REVISION:-}" ] || misconfigured "RELAY_REVISION is empty: set it to a branch, a tag or a commit"
export GIT_TERMINAL_PROMPT=0  # a repository that wants a password fails, rather than wait for one that nobody types

# A crash leaves locks; this container runs alone in the volume.
[ ! -d "$root/.git" ] || find "$root/.git" -name '*.lock' -delete
git -c init.defaultBranch=main init --quiet "$root"  # not clone: a volume may come with lost+found
cd "$root"
echo /lost+found >.git/info/exclude
# By address, not as a remote: one that carries a token is written nowhere.
git -c gc.autoDetach=false fetch --quiet --no-write-fetch-head "$RELAY_REPOSITORY" "+$RELAY_REVISION:refs/relay/wanted"
wanted=$(git rev-parse --verify 'refs/relay/wanted^{commit}')
whole=$(git rev-parse --quiet --verify refs/relay/checkout || true)  # the last one that was finished
head=$(git rev-parse --quiet --verify HEAD || true)

if [ "$head" = "$wanted" ] && [ "$whole" = "$wanted" ]; then
    echo "checkout: at $wanted as before; nothing is touched"
else
    # Aside, until the rest is there: a crash in between finds it.
    if [ -f dvc.lock ] && [ ! -f .git/kept ] && [ -n "$(git status --porcelain -- dvc.lock)" ]; then
        cp dvc.lock .git/kept.part
        mv .git/kept.part .git/kept
    fi
    if [ -n "$head" ]; then
        git add --all -- . ':!dvc.lock'
        git diff --cached --quiet HEAD || git -c user.name=checkout -c user.email=checkout@localhost commit --quiet \
            --no-verify --no-gpg-sign --message "Left in the checkout before $wanted"
        now=$(git rev-parse HEAD)
        if [ "$now" != "$whole" ] && [ "$now" != "$wanted" ]; then
            left=left/$(date -u +%Y%m%dT%H%M%SZ)-$(git rev-parse --short HEAD)
            git branch --force "$left" HEAD
            echo "checkout: what was changed here is kept on the branch $left"
        fi
    fi
    git checkout --quiet --force --detach "$wanted"
    [ ! -f .git/kept ] || mv .git/kept dvc.lock
    git update-ref refs/relay/checkout "$wanted"
    echo "checkout: at $wanted ($RELAY_REVISION)"
fi

if [ -n "${RELAY_DVC_REMOTE:-}" ]; then  # in .dvc/config.local, which git ignores
    dvc remote add --quiet --force --local --default shared "$RELAY_DVC_REMOTE"
    [ -z "${RELAY_DVC_ENDPOINT:-}" ] || dvc remote modify --quiet --local shared endpointurl "$RELAY_DVC_ENDPOINT"
fi
