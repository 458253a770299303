package broker

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gudokmq/gudok/stompframe"
)

// catalogue lists the reasons for which something is refused. Ends that are nobody's fault are not
// among them: goodbye, a lost connection, a broker that shuts down.
var catalogue = []*Reason{
	reasonFrameTime, reasonTransport, reasonNotConnected, reasonAlreadyConnected, reasonConnectTime,
	reasonVersion, reasonHeartBeatHeader, reasonHeartBeat, reasonCredentials, reasonTooMany,
	reasonUnchecked, reasonExpired, reasonRenewal, reasonCertificateExpired, reasonLogin,
	reasonUnknownCommand, reasonMissingHeader, reasonBadHeader, reasonDestination, reasonPrefix,
	reasonForbidden, reasonUnsupported, reasonDuplicateID, reasonNoSubscription, reasonDuplicateTx,
	reasonNoTx, reasonTxLimit, reasonTxBytes, reasonSubscriptions, reasonStoreFull, reasonStore,
	reasonInternal, reasonConnections, reasonMemory, reasonAddress, reasonUser, reasonConnects, reasonTxFrames,
	reasonTxTime, reasonWildcards, reasonQueues, reasonSlow,
}

// Refusal is how often something was refused for one reason since the start: a frame, a connection
// or what was left of a session.
type Refusal struct {
	// Reason is the stable text of the ERROR's message header. It may stand in a metric's label.
	Reason string
	Count  uint64
}

// tally counts refusals by the text of their reason. The map is not changed after newTally.
type tally map[string]*atomic.Uint64

func newTally() tally {
	t := make(tally)
	for _, r := range catalogue {
		t[r.Text] = new(atomic.Uint64)
	}
	for k := stompframe.UnknownCommand; k <= stompframe.BodyNotAllowed; k++ {
		if text := k.String(); t[text] == nil { // "unknown command" is in both
			t[text] = new(atomic.Uint64)
		}
	}
	return t
}

func (t tally) count(r *Reason) {
	if n := t[r.Text]; n != nil {
		n.Add(1)
	}
}

// list gives all reasons, those that never came too, in the order of their texts.
func (t tally) list() []Refusal {
	all := make([]Refusal, 0, len(t))
	for text, n := range t {
		all = append(all, Refusal{Reason: text, Count: n.Load()})
	}
	slices.SortFunc(all, func(a, b Refusal) int { return strings.Compare(a.Reason, b.Reason) })
	return all
}
