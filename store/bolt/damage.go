package bolt

import (
	"encoding/binary"
	"encoding/json"

	"github.com/gudokmq/gudok/store/internal/queues"
	"go.etcd.io/bbolt"
)

// Damage tells of one part of the file that is not what was written.
type Damage struct {
	// Queue and ID are those of the message, as far as they can be told; empty if it is not about
	// one message.
	Queue, ID string
	// Commit and Record tell where it is; Record is -1 if it is not about one message.
	Commit uint64
	Record int
	// Reason is what was found.
	Reason string
}

// damaged is a record to be set aside: kept in a bucket of its own, out of its queue.
type damaged struct {
	at    queues.Place
	raw   []byte // its ID and data as they are now
	about Damage
}

// write keeps it, what is known in front and the bytes after.
func (d *damaged) write(tx *bbolt.Tx) error {
	b, err := tx.CreateBucketIfNotExists(bucketDamaged)
	if err != nil {
		return err
	}
	about, err := json.Marshal(d.about)
	if err != nil {
		return err
	}
	value := binary.LittleEndian.AppendUint32(nil, uint32(len(about)))
	value = append(append(value, about...), d.raw...)
	return b.Put(binary.BigEndian.AppendUint64(nil, uint64(d.at)), value)
}

// Damage tells how many damaged parts were found since Open, and of the first thousand what they are.
// Damaged messages are not delivered; their bytes stay in the file, in the bucket "damaged".
func (e *Engine) Damage() (count int, list []Damage) {
	e.damage.mu.Lock()
	defer e.damage.mu.Unlock()
	return e.damage.count, append([]Damage(nil), e.damage.list...)
}
