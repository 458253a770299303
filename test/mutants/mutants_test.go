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
	f, err := parser.ParseFile(token.NewFileSet(), "../../store/mutant/security.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]bool{}
	for _, k := range killers {
		has[string(k.Bug)] = true
	}
	planted := 0
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			planted++
			if bug := strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`); !has[bug] {
				t.Errorf("nobody finds %s", bug)
			}
		}
		return true
	})
	if planted < 40 {
		t.Errorf("%d bugs", planted)
	}
}
