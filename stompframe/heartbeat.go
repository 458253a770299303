package stompframe

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// maxHeartBeat is what a longer interval is taken for: nobody waits longer than a day.
const maxHeartBeat = 24 * time.Hour

// ParseHeartBeat reads the value of a heart-beat header, two decimal numbers of milliseconds
// with a comma between them: cx is what the sender can do, cy what it wants, 0 is "none"
// (STOMP 1.2, Heart-beating). More than 24 h is read as 24 h. The error names the value.
func ParseHeartBeat(v []byte) (cx, cy time.Duration, err error) {
	x, y, _ := bytes.Cut(v, []byte{','})
	cx, okx := parseInterval(x)
	cy, oky := parseInterval(y)
	if !okx || !oky {
		return 0, 0, fmt.Errorf("heart-beat %.40q is not two numbers of milliseconds", v)
	}
	return cx, cy, nil
}

func parseInterval(s []byte) (time.Duration, bool) {
	var ms int64
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		ms = min(ms*10+int64(c-'0'), maxHeartBeat.Milliseconds())
	}
	return time.Duration(ms) * time.Millisecond, len(s) > 0
}

// AppendHeartBeat appends the value of a heart-beat header: sx is what the sender can do, sy what
// it wants. A fraction of a millisecond is rounded up, less than 0 is written as 0.
func AppendHeartBeat(dst []byte, sx, sy time.Duration) []byte {
	ms := func(d time.Duration) int64 {
		n := max(d, 0).Milliseconds()
		if max(d, 0)%time.Millisecond > 0 {
			n++
		}
		return n
	}
	dst = strconv.AppendInt(dst, ms(sx), 10)
	dst = append(dst, ',')
	return strconv.AppendInt(dst, ms(sy), 10)
}
