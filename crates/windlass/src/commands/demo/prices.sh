#!/bin/sh
# prices.sh NET RATE: the price with tax, in cents, rounded half up.
net=$1
rate=$2
echo $(( net + net * rate / 100 ))
