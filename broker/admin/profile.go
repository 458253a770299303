package admin

import (
	"fmt"
	"net/http"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"sync"
	"time"
)

// Profiles are written by runtime/pprof and not by net/http/pprof, which shows the command line too, and
// mounts itself where anyone gets to see it who serves http.DefaultServeMux.

const (
	profilePath    = "/debug/pprof/"
	profileSeconds = 30
	profileMost    = 60
)

// profiling lets one profile that takes time be taken at once.
var profiling sync.Mutex

// profile serves Go's profiles; go tool pprof and go tool trace read them.
func (o *Options) profile(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	switch p := pprof.Lookup(name); {
	case !o.Pprof:
		http.NotFound(w, r)
	case name == "":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		for _, p := range pprof.Profiles() {
			fmt.Fprintf(w, "%s%s?debug=1 (%d)\n", profilePath, p.Name(), p.Count())
		}
		fmt.Fprintf(w, "%sprofile?seconds=%d\n%[1]strace?seconds=1\n", profilePath, profileSeconds)
	case name == "profile":
		o.during(w, r, profileSeconds, func() error { return pprof.StartCPUProfile(w) }, pprof.StopCPUProfile)
	case name == "trace":
		o.during(w, r, 1, func() error { return trace.Start(w) }, trace.Stop)
	case p == nil:
		http.NotFound(w, r)
	default:
		if name == "heap" && r.FormValue("gc") != "" {
			runtime.GC()
		}
		debug := 0
		kind := "application/octet-stream"
		if d := r.FormValue("debug"); d != "" && d != "0" {
			debug, kind = 1, "text/plain; charset=utf-8" // 2 would not bring stacks of one kind together
		}
		w.Header().Set("Content-Type", kind)
		if err := p.WriteTo(w, debug); err != nil {
			o.Logger.Debug("profile not written", "profile", name, "err", err)
		}
	}
}

// during has something written from start to stop, for as long as asked.
func (o *Options) during(w http.ResponseWriter, r *http.Request, seconds int, start func() error, stop func()) {
	if s := r.FormValue("seconds"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > profileMost {
			http.Error(w, fmt.Sprintf("seconds must be from 1 to %d", profileMost), http.StatusBadRequest)
			return
		}
		seconds = n
	}
	if !profiling.TryLock() {
		http.Error(w, "another profile is being taken", http.StatusConflict)
		return
	}
	defer profiling.Unlock()
	// The server's deadlines are for answers that come at once. Where it has none that fails, harmlessly.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Now().Add(time.Duration(seconds)*time.Second + 30*time.Second))
	w.Header().Set("Content-Type", "application/octet-stream")
	if r.Method == http.MethodHead {
		return
	}
	if err := start(); err != nil {
		http.Error(w, "cannot be taken: "+err.Error(), http.StatusInternalServerError)
		return
	}
	defer stop()
	t := time.NewTimer(time.Duration(seconds) * time.Second)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	case <-o.Stopping:
	}
}
