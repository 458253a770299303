package stompframe_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/stompframe"
)

func TestNegotiate(t *testing.T) {
	for _, c := range []struct {
		accept  string
		present bool
		want    stompframe.Version
	}{
		{"", false, v10},
		{"1.2", false, v10},
		{"", true, 0},
		{"1.0", true, v10},
		{"1.1", true, v11},
		{"1.2", true, v12},
		{"1.0,1.1,1.2", true, v12},
		{"1.2,1.1,1.0", true, v12},
		{"1.1,1.0", true, v11},
		{" 1.1 , 1.0 ", true, v11},
		{"2.0,1.1", true, v11},
		{"1.3", true, 0},
		{"1.2.0", true, 0},
		{"1", true, 0},
		{",", true, 0},
		{",1.0,", true, v10},
		{"1.0 1.1", true, 0},
	} {
		v, ok := stompframe.Negotiate([]byte(c.accept), c.present)
		if v != c.want || ok != (c.want != 0) {
			t.Errorf("%q, %v: %v %v", c.accept, c.present, v, ok)
		}
	}
	for v, want := range map[stompframe.Version]string{v0: "", v10: "1.0", v11: "1.1", v12: "1.2", 13: ""} {
		if v.String() != want {
			t.Errorf("version %d is %q", v, v)
		}
	}
	if v, ok := stompframe.Negotiate([]byte(stompframe.Supported), true); v != v12 || !ok {
		t.Error("Supported is not what Negotiate takes")
	}
}

func TestParseHeartBeat(t *testing.T) {
	const ms, day = time.Millisecond, 24 * time.Hour
	for _, c := range []struct {
		in     string
		cx, cy time.Duration
		bad    bool
	}{
		{in: "0,0"},
		{in: "10000,5", cx: 10 * time.Second, cy: 5 * ms},
		{in: "0001,0", cx: ms},
		{in: "86400000,86400001", cx: day, cy: day},
		{in: "4294967296,99999999999999999999999999", cx: day, cy: day},
		{in: "", bad: true}, {in: ",", bad: true}, {in: "1", bad: true}, {in: "1,", bad: true}, {in: ",1", bad: true},
		{in: "-1,0", bad: true}, {in: "+1,0", bad: true}, {in: "1,2,3", bad: true}, {in: "1, 2", bad: true},
		{in: "1.5,0", bad: true}, {in: "a,b", bad: true}, {in: "1e3,0", bad: true},
	} {
		cx, cy, err := stompframe.ParseHeartBeat([]byte(c.in))
		if cx != c.cx || cy != c.cy || (err != nil) != c.bad {
			t.Errorf("%q: %v %v %v", c.in, cx, cy, err)
		}
		if err != nil && !strings.Contains(err.Error(), `"`+c.in+`"`) {
			t.Errorf("%q is not named: %v", c.in, err)
		}
	}
}

func TestAppendHeartBeat(t *testing.T) {
	for _, c := range []struct {
		x, y time.Duration
		want string
	}{
		{0, 0, "0,0"},
		{10 * time.Second, 24 * time.Hour, "10000,86400000"},
		{-time.Second, time.Nanosecond, "0,1"},
		{1500 * time.Microsecond, time.Millisecond, "2,1"},
	} {
		if got := stompframe.AppendHeartBeat([]byte("heart-beat:"), c.x, c.y); string(got) != "heart-beat:"+c.want {
			t.Errorf("%v, %v: %s", c.x, c.y, got)
		}
	}
}

func TestKindsHaveTexts(t *testing.T) {
	seen := map[string]bool{}
	for k := stompframe.UnknownCommand; k <= stompframe.BodyNotAllowed; k++ {
		if s := k.String(); s == "malformed frame" || seen[s] {
			t.Errorf("kind %d is %q", k, s)
		} else {
			seen[s] = true
		}
	}
	if s := stompframe.Kind(99).String(); s != "malformed frame" {
		t.Errorf("kind 99 is %q", s)
	}
}
