#!/bin/sh
# Makes the pictures of the five views from the real program: assets/views.sh [PROGRAM]
set -eu
there=$(dirname "$0")/../docs/src/how-to
program=${1:-plimsoll}
keys=$(mktemp)
trap 'rm -f "$keys"' EXIT
picture() {
    name=$1
    cat > "$keys"
    "$program" play quickstart --keys "$keys" --theme dark --glyphs unicode --color never \
        --picture "$there/view-$name.svg" > /dev/null
    echo "$there/view-$name.svg"
}
picture live << 'END'
1m30s Down Down
1m35s 1
END
picture compare << 'END'
1s 2 a s m a r t Enter
1s a p e a k Enter
2m20s 2
END
picture latency << 'END'
2m20s 3
END
picture why << 'END'
1m30s 4
1m31s w
END
picture events << 'END'
2m20s 5
END
