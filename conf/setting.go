package conf

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// setting is one scalar or list of strings of a Config: its tag, and the place for its value.
type setting struct {
	value reflect.Value
	tag   reflect.StructTag
}

// fields lists a group's own keys.
func fields(group reflect.Value) map[string]setting {
	m := make(map[string]setting, group.NumField())
	for i := range group.NumField() {
		f := group.Type().Field(i)
		if name, ok := f.Tag.Lookup("yaml"); ok {
			m[name] = setting{group.Field(i), f.Tag}
		}
	}
	return m
}

func (s setting) isGroup() bool { return s.value.Kind() == reflect.Struct }

func (s setting) isList() bool { return s.value.Kind() == reflect.Slice }

// isScalar tells a list that may be written as the one value that is in it.
func (s setting) isScalar() bool { return s.tag.Get("scalar") == "yes" }

// isGroups tells a list of groups, such as users, from a list of strings.
func (s setting) isGroups() bool {
	return s.isList() && s.value.Type().Elem().Kind() == reflect.Struct
}

// settings lists all scalars and lists of strings below a group by their dotted keys.
func settings(prefix string, group reflect.Value, into map[string]setting) map[string]setting {
	for name, s := range fields(group) {
		switch {
		case s.isGroup():
			settings(prefix+name+".", s.value, into)
		case !s.isGroups():
			into[prefix+name] = s
		}
	}
	return into
}

// set reads text into a scalar and holds it against its tags.
func (s setting) set(text string) error {
	if err := s.parse(text); err != nil {
		return err
	}
	if words, ok := s.tag.Lookup("one"); ok {
		for w := range strings.FieldsSeq(words) {
			if w == text {
				return nil
			}
		}
		return fmt.Errorf("%s is not known (write %s)", quote(text), strings.ReplaceAll(words, " ", ", "))
	}
	low, hasLow := s.bound("min")
	high, hasHigh := s.bound("max")
	if hasLow && s.value.Int() < low.Int() || hasHigh && s.value.Int() > high.Int() {
		between := fmt.Sprintf("at most %v", high)
		if hasLow {
			between = fmt.Sprintf("between %v and %v", low, high)
		}
		return fmt.Errorf("%s is out of bounds (write a value %s)", quote(text), between)
	}
	return nil
}

func (s setting) parse(text string) error {
	if u, ok := s.value.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	if s.value.Kind() == reflect.String {
		return s.setString(text)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("%s is not a whole number", quote(text))
	}
	s.value.SetInt(int64(n))
	return nil
}

// setString refuses what could break a line of log or of HTTP later.
func (s setting) setString(text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		if _, secret := s.tag.Lookup("secret"); secret {
			return errors.New("has a control character in it")
		}
		return fmt.Errorf("%s has a control character in it", quote(text))
	}
	if len(text) > 4096 {
		return errors.New("is longer than 4096 bytes")
	}
	s.value.SetString(text)
	return nil
}

// bound reads the tag min or max in the setting's own type.
func (s setting) bound(tag string) (reflect.Value, bool) {
	text, ok := s.tag.Lookup(tag)
	if !ok {
		return reflect.Value{}, false
	}
	v := setting{value: reflect.New(s.value.Type()).Elem()}
	if err := v.parse(text); err != nil {
		panic("conf: bad tag " + tag + ":" + text)
	}
	return v.value, true
}

// setList reads each text into an element; at is the index an error is about.
func (s setting) setList(texts []string) (at int, err error) {
	list := reflect.MakeSlice(s.value.Type(), len(texts), len(texts))
	for i, t := range texts {
		if t == "" {
			return i, errors.New("is empty (remove it)")
		}
		if err := (setting{list.Index(i), s.tag}).setString(t); err != nil {
			return i, err
		}
	}
	s.value.Set(list)
	return 0, nil
}
