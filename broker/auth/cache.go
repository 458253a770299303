package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

const (
	cacheTime = time.Minute
	cacheSize = 4096 // logins, of about 100 bytes each
)

// digest stands for a login and its passcode; it is worth nothing without the process's key.
type digest [sha256.Size]byte

// cache remembers logins that were right. Any goroutine may use it.
type cache struct {
	key []byte // immutable

	mu   sync.Mutex
	good map[digest]time.Time // until when
}

func newCache() *cache {
	return &cache{key: random(sha256.Size), good: map[digest]time.Time{}}
}

// digest stands for a login, its passcode, and what else must be the same.
func (c *cache) digest(login string, proof uint64, passcode string) (d digest) {
	mac := hmac.New(sha256.New, c.key)
	var n [16]byte
	binary.BigEndian.PutUint64(n[:8], uint64(len(login)))
	binary.BigEndian.PutUint64(n[8:], proof)
	mac.Write(n[:])
	mac.Write([]byte(login))
	mac.Write([]byte(passcode))
	mac.Sum(d[:0])
	return d
}

func (c *cache) has(d digest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	until, ok := c.good[d]
	return ok && time.Now().Before(until)
}

// add remembers d for cacheTime. A full cache forgets what is over, or else any one.
func (c *cache) add(d digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if len(c.good) >= cacheSize {
		for k, until := range c.good {
			if !now.Before(until) {
				delete(c.good, k)
			}
		}
	}
	if len(c.good) >= cacheSize {
		for k := range c.good {
			delete(c.good, k)
			break
		}
	}
	c.good[d] = now.Add(cacheTime)
}
