package mutants

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/store/mutant"
	"github.com/gudokmq/gudok/test/harness"
)

// killers are the tests that must find the bugs of limits and rules.
var killers = []harness.Killer{
	{Bug: mutant.DuplicatesUncounted, Package: "stompframe", Test: "TestLimits", Word: "6 of 5 gave"},
	{Bug: mutant.HeaderBytesUncounted, Package: "stompframe", Test: "TestLimits", Word: "41 of 40 gave"},
	{Bug: mutant.BodyOneMore, Package: "stompframe", Test: "TestLimits", Word: "31 of 30 gave"},
	{Bug: mutant.HeaderUnescaped, Package: "stompframe", Test: "TestAppendHeader", Word: "AppendEscaped("},
	{Bug: mutant.DeclaredAllocated, Package: "stompframe", Test: "TestAnnouncedBodyIsNotAllocated", Word: "bytes of 32 received"},
	{Bug: mutant.BudgetOff, Package: "test/security", Test: "TestV2BudgetBeforeConnect", Word: `expected ERROR ["message:frame too large"], got "CONNECTED`},
	{Bug: mutant.BudgetKept, Package: "test/security", Test: "TestV2BudgetBeforeConnect", Word: "expected RECEIPT"},
	{Bug: mutant.FloodUnbounded, Package: "test/security", Test: "TestV6HeadersAndFragments", Word: "and no close frame"},
	{Bug: mutant.FrameTimeOff, Package: "transport", Test: "TestFrameTime", Word: `want 0, "frame time"`},
	{Bug: mutant.OriginByPath, Package: "transport", Test: "TestOrigins", Word: `from "https://evil.example": 101`},
	{Bug: mutant.OriginSuffix, Package: "transport", Test: "TestOrigins", Word: `from "https://aexample.org": 101`},
	{Bug: mutant.OriginNull, Package: "transport", Test: "TestOrigins", Word: `from "null": 101`},
	{Bug: mutant.OriginAnyPort, Package: "transport", Test: "TestOrigins", Word: `from "https://mq.example.com:444": 101`},
	{Bug: mutant.HostUnchecked, Package: "transport", Test: "TestHosts", Word: "200, want 421"},
	{Bug: mutant.ConnectNotNeeded, Package: "test/security", Test: "TestV1BeforeConnect", Word: `want "not connected"`},
	{Bug: mutant.RefusedGoesOn, Package: "test/security", Test: "TestV1BeforeConnect", Word: `expected the end of the connection, got "ERROR`},
	{Bug: mutant.ConnectAgain, Package: "test/security", Test: "TestV1BeforeConnect", Word: `expected ERROR ["message:already connected"], got "CONNECTED`},
	{Bug: mutant.ConnectTimeOff, Package: "broker", Test: "TestConnectTime", Word: `connection ended, want ERROR ["message:no CONNECT in time"]`},
	{Bug: mutant.ConnectionsUncounted, Package: "broker", Test: "TestSetLimits", Word: "too many connections"},
	{Bug: mutant.SubscriptionsUncounted, Package: "broker", Test: "TestSessionBounds", Word: "want too many subscriptions"},
	{Bug: mutant.TransactionsUncounted, Package: "broker", Test: "TestSessionBounds", Word: "want too many transactions"},
	{Bug: mutant.TransactionBytesFree, Package: "broker", Test: "TestSessionBounds", Word: "want transaction too large"},
	{Bug: mutant.UnackedEach, Package: "broker", Test: "TestSessionBounds", Word: "got MESSAGE"},
	{Bug: mutant.OutboxUnbounded, Package: "broker", Test: "TestOutboxIsBounded", Word: "it is kept"},
	{Bug: mutant.GraceTen, Package: "broker", Test: "TestHeartBeatsOverHours", Word: "silent client was cut after 5m0s"},
	{Bug: mutant.NamesFree, Package: "broker", Test: "TestV16Names", Word: `"*": <nil>`},
	{Bug: mutant.DotsFree, Package: "broker", Test: "TestV16NamesAreOneSegment", Word: "user-name:a.b"},
	{Bug: mutant.DenyAtSubscribe, Package: "broker", Test: "TestV15WildcardDoesNotWiden", Word: `live got "secret"`},
	{Bug: mutant.UndecidedInTransaction, Package: "broker", Test: "TestTransactionsAreRechecked", Word: "got no such transaction"},
	{Bug: mutant.CommitOfThen, Package: "broker", Test: "TestTransactionsAreRechecked", Word: "/queue/b is not granted any more"},
	{Bug: mutant.RulesOfThen, Package: "broker", Test: "TestV19RulesOfNow", Word: "redelivered:true"},
	{Bug: mutant.OthersUser, Package: "broker", Test: "TestV18NobodyElses", Word: "bob subscribes to /user/alice/queue/x"},
	{Bug: mutant.DurableOfAll, Package: "broker", Test: "TestV18ClientIDIsNoUser", Word: "connection ended, want MESSAGE"},
	{Bug: mutant.UnsubscribeOfAll, Package: "broker", Test: "TestV17UnsubscribeDeletesOnesOwn", Word: `want ERROR ["message:no such subscription"]`},
	{Bug: mutant.TempOfAll, Package: "broker", Test: "TestV18NobodyElses", Word: "destination:/temp-queue/answers"},
	{Bug: mutant.ReplyUndecided, Package: "broker", Test: "TestV18NobodyElses", Word: "an address is enough"},
	{Bug: mutant.ForbiddenTold, Package: "broker", Test: "TestV19MissingAndForbiddenAreAlike", Word: "is not for this user"},
	{Bug: mutant.PublisherHeaders, Package: "test/security", Test: "TestV24HeaderInjection", Word: "header message-id twice"},
	{Bug: mutant.CountedIDs, Package: "broker", Test: "TestV12IDsAreRandom", Word: "repeated or of other characters"},
	{Bug: mutant.ReloadKeeps, Package: "broker", Test: "TestReloadEndsWhatIsNotPermitted", Word: `connection ended, want ERROR ["message:not permitted"`},
	{Bug: mutant.ExpiryWhenBusy, Package: "test/security", Test: "TestV20TokenExpiry", Word: "nothing came in time"},
	{Bug: mutant.RenewAnyone, Package: "broker", Test: "TestBadRenewals", Word: `want ERROR ["message:token not accepted"`},
	{Bug: mutant.DenySecond, Package: "broker/rules", Test: "TestSendAndSubscribe", Word: "SEND /topic/news.draft: true"},
	{Bug: mutant.PatternByPrefix, Package: "broker", Test: "TestV15WildcardDoesNotWiden", Word: "SUBSCRIBE /topic/a.**: true"},
	{Bug: mutant.StarMany, Package: "broker/rules", Test: "TestSendAndSubscribe", Word: "SEND /topic/alice.x.y: true"},
	{Bug: mutant.UserAny, Package: "broker/rules", Test: "TestSendAndSubscribe", Word: "SEND /queue/bob.in: true"},
	{Bug: mutant.ExpIgnored, Package: "broker/auth", Test: "TestTokenAttacks", Word: "expired in passcode"},
	{Bug: mutant.FloatExpIgnored, Package: "broker/auth", Test: "TestTokenAttacks", Word: "expired, a fraction in passcode"},
	{Bug: mutant.AlgorithmOfToken, Package: "broker/auth", Test: "TestTokenAttacks", Word: "HS256 with the public RSA key as secret"},
	{Bug: mutant.KidIgnored, Package: "broker/auth", Test: "TestTokenAttacks", Word: "kid and nothing else wrong"},
	{Bug: mutant.AudienceIgnored, Package: "broker/auth", Test: "TestTokenAttacks", Word: "aud "},
	{Bug: mutant.IssuerIgnored, Package: "broker/auth", Test: "TestTokenAttacks", Word: "iss "},
	{Bug: mutant.LoginIgnored, Package: "broker/auth", Test: "TestPrecedence", Word: "a certificate of another"},
	{Bug: mutant.AddressesFree, Package: "broker/auth", Test: "TestV23FailedLoginsAreSlowed", Word: "wrong, want slowed"},
	{Bug: mutant.UsersFree, Package: "broker/auth", Test: "TestV23GuessedAtFromEverywhere", Word: "guesses were looked at"},
	{Bug: mutant.StrangersCheap, Package: "broker/auth", Test: "TestV23StrangersCostTheSame", Word: "0 hashes for"},
	{Bug: mutant.CertificateUnverified, Package: "broker/auth", Test: "TestPrecedence", Word: "a certificate nobody vouches for"},
	// Whatever a test of the real binary is about, it fails if a secret comes out.
	{Bug: mutant.PasscodeLogged, Package: "test/conformance", Test: "TestUsers", Word: "the broker prints a secret"},
	{Bug: mutant.PasscodeLogged, Package: "test/interop/gostomp", Test: "TestLogin", Word: "the broker prints a secret"},
	{Bug: mutant.PasscodeTold, Package: "test/conformance", Test: "TestUsers", Word: "the broker tells a secret in ERROR"},
	{Bug: mutant.AuthorizationShown, Package: "test/security", Test: "TestV28AdminNeedsAGrant", Word: "the broker tells a secret in the answer to GET"},
	{Bug: mutant.AddressesUncounted, Package: "broker", Test: "TestCensus", Word: `want "too many connections of one address"`},
	{Bug: mutant.HostsApart, Package: "broker", Test: "TestPlaces", Word: `want "2001:db8:1:2::/64"`},
	{Bug: mutant.UsersUncounted, Package: "broker", Test: "TestUserLimits", Word: "want ERROR [\"message:too many connections of one user\"]"},
	{Bug: mutant.ConnectsFree, Package: "broker", Test: "TestConnectsPerSecond", Word: "after 0s: 9, want 4"},
	{Bug: mutant.LeaversCounted, Package: "broker", Test: "TestCensus", Word: "counted"},
	{Bug: mutant.WebSocketsUncounted, Package: "test/limits", Test: "TestV30OneAccounting/in_all", Word: "connection came in by"},
	{Bug: mutant.PatternsUncounted, Package: "broker", Test: "TestWildcardSubscriptions", Word: `want ERROR ["message:too many wildcard subscriptions"`},
	{Bug: mutant.PrefetchBytesFree, Package: "broker", Test: "TestPrefetchBytes", Word: `want "abc"`},
	{Bug: mutant.TransactionFramesFree, Package: "broker", Test: "TestTransactionFrames", Word: `want ERROR ["message:too many frames in transactions"`},
	{Bug: mutant.TransactionTimeTen, Package: "broker", Test: "TestTransactionTime", Word: "after its time: "},
	{Bug: mutant.QueuesUncounted, Package: "broker", Test: "TestQueueLimit", Word: `want ERROR ["message:too many queues"]`},
	{Bug: mutant.OwnLimitsIgnored, Package: "broker", Test: "TestUserLimits", Word: "too many connections of one user"},
	{Bug: mutant.OwnLimitsOnly, Package: "broker", Test: "TestUserLimits", Word: "too many"},
	{Bug: mutant.OutboxesFree, Package: "broker", Test: "TestOutboxesOfAllSessions", Word: "closed: []"},
	{Bug: mutant.OutboxesUnasked, Package: "broker", Test: "TestOutboxesOfFastPublishers", Word: "MiB waited, "},
	{Bug: mutant.SmallestFirst, Package: "broker", Test: "TestOutboxesOfAllSessions", Word: "closed: [1 2 3"},
	{Bug: mutant.MemoryUnseen, Package: "broker", Test: "TestMemoryIsShort", Word: "closed: []"},
	{Bug: mutant.MemoryLetsIn, Package: "broker", Test: "TestMemoryIsShort", Word: `got CONNECTED`},
	{Bug: mutant.MemoryHoldsNobody, Package: "broker", Test: "TestPublishersAreHeldUp", Word: "200 SENDs took 0s"},
	{Bug: mutant.MemoryNeverEases, Package: "broker", Test: "TestMemoryIsShort", Word: "still short"},
	{Bug: mutant.SoftUncounted, Package: "broker", Test: "TestRefusalsAreCounted", Word: "after soft errors: map["},
	{Bug: mutant.StrangersUncounted, Package: "broker", Test: "TestRefusalsAreCounted", Word: "after a connection too many: map["},
	{Bug: mutant.PermitEveryone, Package: "broker", Test: "TestPermit", Word: `"b": <nil>, want not permitted`},
	{Bug: mutant.MetricsOpen, Package: "broker/admin", Test: "TestWhoMaySee", Word: `"" /metrics: 200`},
	{Bug: mutant.StatusOpen, Package: "broker/admin", Test: "TestWhoMaySee", Word: `"" /api/status: 200`},
	{Bug: mutant.PageTells, Package: "broker/admin", Test: "TestShellOfThePage", Word: "777"},
	{Bug: mutant.HealthTells, Package: "broker/admin", Test: "TestHealthTellsWhyToSome", Word: "not ok: the disk is full"},
	{Bug: mutant.ProxyAnyone, Package: "transport", Test: "TestProxyListener", Word: "is not refused as one who is not trusted"},
	{Bug: mutant.ProxyOptional, Package: "transport", Test: "TestProxyListener", Word: "deadlock"},
	{Bug: mutant.ProxySilent, Package: "test/security", Test: "TestSilentProxies", Word: "a silent proxy is still there"},
	{Bug: mutant.ProxyRestKept, Package: "transport", Test: "TestProxyHeaders", Word: "bytes are left behind it"},
	{Bug: mutant.ProxyLocalBelieved, Package: "transport", Test: "TestProxyHeaders", Word: `want "local"`},
	{Bug: mutant.ProxyUnknownBelieved, Package: "transport", Test: "TestProxyListener", Word: "want [fd00::7]:0"},
	{Bug: mutant.ProxyAnyFamily, Package: "transport", Test: "TestProxyHeaders", Word: "PROXY TCP4 2001:db8::1"},
	{Bug: mutant.ForwardedByAnyone, Package: "transport", Test: "TestForwarded", Word: "not trusted: 203.0.113.7:0"},
	{Bug: mutant.ForwardedFirst, Package: "transport", Test: "TestForwarded", Word: "spoofed as loopback: 127.0.0.1:0"},
	{Bug: mutant.ForwardedEither, Package: "transport", Test: "TestForwarded", Word: "both, and one is the client's: 203.0.113.7:0"},
	{Bug: mutant.ForwardedHost, Package: "test/security", Test: "TestV22ForwardedHost", Word: "host evil.example, "},
	{Bug: mutant.PagesUnguarded, Package: "test/security", Test: "TestV9Rebinding", Word: "/healthz of evil.example"},
	{Bug: mutant.HostSuffix, Package: "transport", Test: "TestHosts", Word: `page of "x.mq.example.com": 200, want 421`},
	{Bug: mutant.OriginFirst, Package: "transport", Test: "TestOrigins", Word: "two Origin headers: 101"},
	{Bug: mutant.CookieAnyOrigin, Package: "transport", Test: "TestCookieNeedsAnOrigin", Word: "evil.example"},
	{Bug: mutant.InflatedFree, Package: "transport", Test: "TestV3DecompressionBeforeConnect", Word: "short_bomb_of_heart-beats"},
	{Bug: mutant.PackedFree, Package: "transport", Test: "TestV3DecompressionBeforeConnect/compressed,_L.1", Word: "frames:1"},
	{Bug: mutant.BlankFree, Package: "transport", Test: "TestV3DecompressionLimits/bomb_of_heart-beats", Word: `want "0 1008"`},
	{Bug: mutant.PackedEarly, Package: "test/security", Test: "TestV3Decompression", Word: `"CONNECTED\nversion`},
	{Bug: mutant.PackedUnasked, Package: "transport", Test: "TestCompressedWithoutAgreement", Word: "compression false: "},
	{Bug: mutant.CapacityOff, Package: "transport", Test: "TestCapacity", Word: "beyond: nobody came"},
	{Bug: mutant.SilentStay, Package: "transport", Test: "TestSilentGiveWay", Word: "who speaks: nobody came"},
	{Bug: mutant.OldTLS, Package: "transport", Test: "TestTCPOverTLS", Word: "TLS 1.1 accepted"},
	{Bug: mutant.TLSHandshakeSlow, Package: "transport", Test: "TestTLSHandshakeTime", Word: "silent client gone after 1h0m0s"},
	{Bug: mutant.FirstWordSlow, Package: "transport", Test: "TestFrontSilence", Word: "closed after 1h0m0s"},
}

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := flag.Set("test.parallel", "3"); err != nil { // most of them wait as much as they compute
			panic(err)
		}
	}
	os.Exit(harness.Main(m))
}

// TestMutants demands that each bug is found.
func TestMutants(t *testing.T) { harness.Mutants(t, killers) }

// Whoever plants a bug of limits or rules names who finds it.
func TestEveryBugHasAKiller(t *testing.T) {
	has := map[string]bool{}
	for _, k := range killers {
		has[string(k.Bug)] = true
	}
	planted := 0
	for _, file := range []string{"security.go", "limits.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), "../../store/mutant/"+file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok {
				planted++
				if bug := strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`); !has[bug] {
					t.Errorf("nobody finds %s", bug)
				}
			}
			return true
		})
	}
	if planted < 100 {
		t.Errorf("%d bugs", planted)
	}
}
