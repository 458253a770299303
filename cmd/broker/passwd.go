package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/gudokmq/gudok/broker/auth"
)

const passwdHelp = `Make the hash of a password, for users[].password_hash of the configuration.
The password is asked for without showing it, or read from the first line of
standard input where that is no terminal. The hash is printed.

Usage: broker passwd [-kind argon2id|bcrypt]

Flags:
  -kind KIND   argon2id (the default) or bcrypt

Examples:
  broker passwd
  printf '%s' "$PASSWORD" | broker passwd -kind bcrypt

In the configuration:
  users:
    - name: alice
      password_hash: "$argon2id$v=19$m=19456,t=2,p=1$..."
`

func runPasswd(args []string, stdout, stderr io.Writer) int {
	f := newFlags("passwd", passwdHelp, stdout, stderr)
	kind := f.String("kind", auth.Argon2id, "")
	if code, ok := f.parseNone(args); !ok {
		return code
	}
	if *kind != auth.Argon2id && *kind != auth.Bcrypt {
		return f.misuse("-kind: %q is no kind of hash: use argon2id or bcrypt", *kind)
	}
	password, err := readPassword(os.Stdin, stderr)
	if err != nil {
		return f.fail(err)
	}
	hash, err := auth.Hash(password, *kind)
	if err != nil {
		return f.fail(err)
	}
	fmt.Fprintln(stdout, hash)
	return exitOK
}

// readPassword asks twice on a terminal, and reads one line from anything else.
func readPassword(in *os.File, prompt io.Writer) (string, error) {
	show, terminal := hideInput(in)
	if !terminal {
		return readLine(bufio.NewReaderSize(in, maxPassword))
	}
	defer show()
	r := bufio.NewReaderSize(in, maxPassword)
	fmt.Fprint(prompt, "Password: ")
	first, err := readLine(r)
	fmt.Fprintln(prompt)
	if err != nil {
		return "", err
	}
	fmt.Fprint(prompt, "Again: ")
	second, err := readLine(r)
	fmt.Fprintln(prompt)
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ")
	}
	return first, nil
}

// maxPassword bounds what readLine takes.
const maxPassword = 4096

// readLine reads a line without its end.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", fmt.Errorf("the password is longer than %d bytes", maxPassword)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}
