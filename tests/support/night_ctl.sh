#!/bin/sh
# What night_ctl.py does where no knob is turned, which is nearly always: a shell starts in a tenth of the time.
verb=$1 what=$2 version=$3
if [ -e "knobs/$*.json" ]; then
    exec {python} -I -S ctl.py "$@"
fi
switch="systems/$what.${version:-door}"
case $verb in
    start | stop | open | close)
        at=$(date +%s.%N)
        printf '{"at": %s, "verb": "%s", "what": "%s", "version": "%s", "by": %s}\n' "$at" "$verb" "$what" "$version" $PPID \
            >> witness.jsonl
        case $verb in
            start | open) : >> "$switch" ;;
            *) rm -f "$switch" ;;
        esac
        ;;
    status | smoke) [ -e "$switch" ] || exit 3 ;;
    health) # the door is open, and one version of each service runs
        for service in worker api; do
            set -- systems/$service.old systems/$service.new
            if [ -e "$1" ] && [ -e "$2" ]; then exit 1; fi
            [ -e "$1" ] || [ -e "$2" ] || exit 1
        done
        [ -e systems/door.door ]
        ;;
    *) exit 2 ;;
esac
