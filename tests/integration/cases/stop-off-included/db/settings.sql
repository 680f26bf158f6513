\set stop off
\if true
\set ON_ERROR_STOP :stop
\endif
