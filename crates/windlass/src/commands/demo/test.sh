#!/bin/sh
# Checks prices.sh. Prints each failure and ends with 1 when there is one.
failed=0
check() {
  got=$(sh ./prices.sh "$1" "$2")
  if [ "$got" != "$3" ]; then
    echo "prices.sh $1 $2: expected $3, got $got"
    failed=1
  fi
}
check 1000 20 1200
check 999 7 1069
check 250 5 263
[ "$failed" = 0 ] && echo "3 checks passed"
exit "$failed"
