package conf_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/conf"
)

// FuzzLoad: whatever the file holds, Load ends with a sound configuration or one line that begins
// with the file.
func FuzzLoad(f *testing.F) {
	for text := range faults {
		if len(text) < 1000 {
			f.Add(text)
		}
	}
	f.Add("http:\n  listen: 127.0.0.1:0\n  allowed_origins: [null, 'null', '*', \"http://c\"]\nlimits: {body: 1MiB}\nusers:\n  - name: |\n      x\n")
	path := filepath.Join(f.TempDir(), "gudok.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := conf.Load(path, nil)
		if err == nil {
			if c.HTTP.Listen == "" && c.TCP.Listen == "" && c.TCP.TLSListen == "" {
				t.Errorf("%q leaves nothing to listen on", text)
			}
			return
		}
		if s := err.Error(); strings.ContainsAny(s, "\n\r") || !strings.HasPrefix(s, path+":") && !strings.HasPrefix(s, "http.listen: ") {
			t.Errorf("%q: %q", text, s)
		}
	})
}
