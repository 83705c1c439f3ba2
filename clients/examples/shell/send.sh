#!/bin/sh
# Sends one line:  PHAROS_URL=http://127.0.0.1:8000 PHAROS_API_KEY=pharos_… ./send.sh backup info "Backup done"
# Or every line that comes in, up to 1,000 in a request:  backup 2>&1 | ./send.sh backup
# The exit code is that of curl: not 0 if Pharos took nothing. 429 and 503 are tried again, as Retry-After says.
set -eu
: "${PHAROS_URL:?the address of Pharos}" "${PHAROS_API_KEY:?a key with the scope ingest}"
service=${1:?usage: send.sh SERVICE [LEVEL MESSAGE]}

# A text as JSON: no control characters, and a backslash before \ and ".
json() { printf '%s' "$1" | LC_ALL=C tr -d '\000-\037' | sed 's/[\\"]/\\&/g; s/^/"/; s/$/"/'; }

post() {
    curl --silent --show-error --fail-with-body --output /dev/null --max-time 10 --retry 5 "$PHAROS_URL/api/logs" \
        --header "X-API-Key: $PHAROS_API_KEY" --header 'Content-Type: application/x-ndjson' --data-binary @-
}

if [ $# -ge 3 ]; then
    printf '{"service":%s,"level":%s,"message":%s}\n' "$(json "$service")" "$(json "$2")" "$(json "$3")" | post
    exit
fi

batch='' number=0
while IFS= read -r text || [ -n "$text" ]; do
    batch="$batch{\"service\":$(json "$service"),\"message\":$(json "$text")}
"
    number=$((number + 1))
    if [ "$number" -ge 1000 ]; then
        printf '%s' "$batch" | post
        batch='' number=0
    fi
done
[ -z "$batch" ] || printf '%s' "$batch" | post
