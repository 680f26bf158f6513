#!/bin/sh
# A service or a door of the tests, as a command: `switch.sh FOLDER NAME VERB`, on or off by a file, broken by others.
# A shell, because it starts in two milliseconds: some tests wait for what a command will never do.
#
# Files in FOLDER: NAME.on, NAME.VERB.{refused,ignored,hanging}, NAME.unknown; `asked` gets a line for every change.
folder=$1 name=$2 verb=$3
on="$folder/$name.on"

if [ "$verb" = status ]; then
    [ -e "$folder/$name.unknown" ] && exit 4
    [ -e "$on" ] || exit 3
    exit 0
fi
echo "$verb $name" >> "$folder/asked"
[ -e "$folder/$name.$verb.hanging" ] && exec sleep 60
if [ -e "$folder/$name.$verb.refused" ]; then
    echo "$name will not $verb"
    exit 1
fi
[ -e "$folder/$name.$verb.ignored" ] && exit 0
case $verb in
    start | open) : > "$on" ;;
    *) rm -f "$on" ;;
esac
