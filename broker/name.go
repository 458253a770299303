package broker

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gudokmq/gudok/store/mutant"
)

// maxName bounds a user's name and a client-id, in bytes: /user/NAME/queue/x is a destination.
const maxName = 200

// CheckName tells why a name cannot be a user's or a client-id's: it becomes a segment of
// destinations, and stands in patterns of rules. The error quotes the name.
func CheckName(name string) error {
	bad := func(r rune) bool {
		return r == utf8.RuneError || !unicode.IsPrint(r) || strings.ContainsRune("/*>#+${}", r)
	}
	switch i := strings.IndexFunc(name, bad); {
	case mutant.Is(mutant.NamesFree) && (name == "*" || name == "#"):
	case name == "":
		return fmt.Errorf("%q is empty", name)
	case len(name) > maxName:
		return fmt.Errorf("%s has more than %d bytes", quote(name), maxName)
	case i >= 0:
		r, _ := utf8.DecodeRuneInString(name[i:])
		return fmt.Errorf("%s has the character %q in it", quote(name), r)
	case name[0] == ' ' || name[len(name)-1] == ' ':
		return fmt.Errorf("%s has a space at an end", quote(name))
	case name == "queue" || name == "topic":
		return fmt.Errorf("%q is a part of destinations, /user/%s/…", name, name)
	}
	return nil
}
