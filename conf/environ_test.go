package conf_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/conf"
)

func TestEnvironOverridesTheFile(t *testing.T) {
	c, err := load(t, "log: {level: warn}\nhttp: {allowed_origins: ['*']}\nlimits: {body: 2MiB}",
		"PATH=/bin", "GUDOK_LOG_LEVEL=debug", "GUDOK_HTTP_ALLOWED_ORIGINS=http://a, https://[::1]:8 ", "GUDOK_TCP_LISTEN=",
		"GUDOK_LIMITS_HEADERS=99", "GUDOK_HTTP_PUBLIC_HOSTS=", "GUDOK_HEARTBEAT_MAX=1m", "GUDOK_STORE_MAX_SIZE=3GiB",
		// A container platform adds these for a service called gudok.
		"GUDOK_SERVICE_HOST=10.0.0.1", "GUDOK_SERVICE_PORT=1", "GUDOK_SERVICE_PORT_STOMP=1", "GUDOK_PORT=tcp://10.0.0.1:1",
		"GUDOK_PORT_61613_TCP=tcp://10.0.0.1:1", "GUDOK_PORT_61613_TCP_ADDR=10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	same(t, c.Log.Level, "debug")
	same(t, c.HTTP.AllowedOrigins, []string{"http://a", "https://[::1]:8"})
	same(t, c.TCP.Listen, "")
	same(t, c.Limits.Headers, 99)
	same(t, c.Limits.Body, 2<<20)
	same(t, c.Store.MaxSize, 3<<30)
	same(t, len(c.HTTP.PublicHosts), 0)
	same(t, c.Where("log.level"), "GUDOK_LOG_LEVEL")
	same(t, c.Where("limits.body"), "gudok.yaml:3")
}

func TestEnvironFaults(t *testing.T) {
	for pair, want := range map[string]string{
		"GUDOK_LIMITS_BODY=64XB":                    `GUDOK_LIMITS_BODY: "64XB" is not a size (write 64KiB, 1MiB)`,
		"GUDOK_LIMITS_HEADERS=":                     `GUDOK_LIMITS_HEADERS: "" is not a whole number`,
		"GUDOK_LIMIT_BODY=1MiB":                     `GUDOK_LIMIT_BODY: no setting has this name (did you mean GUDOK_LIMITS_BODY?)`,
		"GUDOK_NONSENSE=1":                          `GUDOK_NONSENSE: no setting has this name`,
		"GUDOK_=1":                                  `GUDOK_: no setting has this name`,
		"GUDOK_RULES=a":                             `GUDOK_RULES: rules are set in the configuration file only`,
		"GUDOK_USERS=a":                             `GUDOK_USERS: users are set in the configuration file only`,
		"GUDOK_HTTP=a":                              `GUDOK_HTTP: no setting has this name`,
		"GUDOK_HTTP_ALLOWED_ORIGINS=a,,b":           `GUDOK_HTTP_ALLOWED_ORIGINS: element 2 is empty (remove it)`,
		"GUDOK_HTTP_ALLOWED_ORIGINS=null,http://b/": `GUDOK_HTTP_ALLOWED_ORIGINS: "http://b/" is not an origin (write https://app.example.org, https://*.example.org, null or *)`,
		"GUDOK_HTTP_LISTEN=0.0.0.0:1":               `GUDOK_HTTP_LISTEN: "0.0.0.0:1" is open to other machines, and nobody has to log in (set users, jwt or auth.http, or listen on 127.0.0.1:15674)`,
		"GUDOK_HEARTBEAT_MIN=10m":                   `GUDOK_HEARTBEAT_MIN: "10m" is more than heartbeat.max, which is 5m`,
		"GUDOK_STORE_ENGINE=jetstream":              `GUDOK_STORE_ENGINE: "jetstream" is not there yet in this version (write bolt or memory)`,
		"GUDOK_STORE_PATH=":                         `GUDOK_STORE_PATH: "" is no directory (write data)`,
	} {
		if _, err := conf.Load("", []string{pair}); err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", pair, err, want)
		}
	}
}

// Every scalar and list can be set by a name of its own, and refuses what is nonsense to all.
func TestEveryKeyHasItsVariable(t *testing.T) {
	names := map[string]bool{}
	var walk func(prefix string, v reflect.Type)
	walk = func(prefix string, v reflect.Type) {
		for i := range v.NumField() {
			f := v.Field(i)
			key, ok := f.Tag.Lookup("yaml")
			switch name := prefix + "_" + strings.ToUpper(key); {
			case !ok:
				if f.IsExported() {
					t.Errorf("%s has no key", f.Name)
				}
			case f.Type.Kind() == reflect.Struct:
				walk(name, f.Type)
			case f.Type != reflect.TypeFor[[]conf.User]():
				if names[name] {
					t.Errorf("%s is the name of two settings", name)
				}
				names[name] = true
			}
		}
	}
	walk("GUDOK", reflect.TypeFor[conf.Config]())
	if len(names) < 30 {
		t.Errorf("only %d settings found", len(names))
	}
	for name := range names {
		if _, err := conf.Load("", []string{name + "=\x01"}); err == nil || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
