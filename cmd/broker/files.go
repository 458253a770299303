package main

import (
	"log/slog"
	"math"

	"github.com/gudokmq/gudok/conf"
	"github.com/gudokmq/gudok/transport"
)

const (
	// ownFiles is how many files are for the broker itself: listeners, standard streams, the store, the files
	// it reads again, and those connections that are being turned away.
	ownFiles = 64
	// adminFiles is how many connections the admin listener has of its own, whatever clients there are.
	adminFiles = 32
)

// capacities are how many connections there may be: of clients as many as files may be open, less what the
// broker itself needs, its admins, and each question that it may have under way with who checks logins.
func capacities(c *conf.Config, log *slog.Logger) (clients, admins *transport.Capacity) {
	own := ownFiles
	if c.Auth.HTTP.URL != "" {
		own += c.Auth.HTTP.Concurrency
	}
	if c.Admin.Listen != "" {
		own += adminFiles
	}
	clients = transport.NewCapacity(func() int {
		files := int(min(fileLimit(), math.MaxInt32)) // #nosec G115 -- it fits
		return max(files-own, files/2)
	}, log)
	return clients, transport.NewCapacity(func() int { return adminFiles }, log)
}

// warnOfFiles tells when connections will be refused for want of file descriptors, before it
// happens.
func warnOfFiles(log *slog.Logger, connections int) {
	needed := uint64(max(connections, 0)) + ownFiles // #nosec G115 -- not below 0
	files, err := raiseFileLimit()
	if err != nil {
		log.Warn("limit of open files could not be raised", "err", err)
	} else if files < needed {
		log.Warn("fewer open files are allowed than connections", "files", files, "connections", connections,
			"setting", "limits.connections, or ulimit -n")
	}
}
