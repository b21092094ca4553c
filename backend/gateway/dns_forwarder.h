// SPDX-License-Identifier: MIT
//
// From a query to its reply: the network's own names from the zone, everything else by the host's
// resolvers, with all that can go wrong there.
//
// What makes it hard is what must not be believed and whom not to wait for. A reply counts when it
// comes from where the query went (a socket of its own with a random port, connected: dns_upstream)
// with the random ID and the question of the query (RFC 5452); anything else is counted and the
// wait goes on. A resolver that is silent for `timeout_s` has the next one asked too, while its
// late reply still counts; one that is unreachable, or says SERVFAIL, REFUSED or NOTIMP, has the
// next one asked at once. So with the defaults a dead first resolver costs a second, once: after
// kDeadAfter silences in a row it is asked last, and every kProbeInterval a copy of some guest's
// query tries whether it is back, without that guest waiting for it. When all were asked
// `rounds` times, or after kQueryTimeMax, the guest gets the first refusal that came, or SERVFAIL.
//
// No socket, no clock, no random source of its own. Gateway thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "backend/gateway/dns_message.h"
#include "backend/gateway/dns_service.h"
#include "backend/gateway/dns_zone.h"
#include "backend/gateway/resolver_list.h"
#include "switch/base/log.h"
#include "switch/base/time.h"
#include "switch/frame/mac_address.h"
#include "switch/network/ip_address.h"

namespace lanyard {

using DnsAttemptId = std::uint64_t;

// The way to the resolvers.
class DnsOutlet {
 public:
  virtual ~DnsOutlet() = default;
  // A query by a socket of its own; by the same one again when the attempt has one. What comes of
  // it is told by on_reply() or on_failure(), never during the call.
  virtual Result<void> send(DnsAttemptId attempt, const ResolverAddress& resolver,
                            Transport transport, std::span<const std::uint8_t> query) = 0;
  virtual void close(DnsAttemptId attempt) = 0;
};

class DnsForwarder {
 public:
  static constexpr std::size_t kPendingMax = 512;
  static constexpr std::size_t kPendingPerGuestMax = 128;  // by TCP, for all guests together
  static constexpr std::uint32_t kDeadAfter = 2;
  static constexpr Duration kProbeInterval = std::chrono::seconds(10);
  static constexpr Duration kQueryTimeMax = std::chrono::seconds(10);
  static constexpr Duration kTcpTimeout = std::chrono::seconds(3);  // or the list's, if longer

  struct Asker {
    std::uint64_t connection = 0;  // by TCP; 0: by UDP
    MacAddress guest;              // by UDP, like the rest
    IpAddress address;
    std::uint16_t port = 0;
    IpAddress asked;  // our address
    friend auto operator<=>(const Asker& a, const Asker& b) {
      return std::tuple(a.connection, a.guest.number(), a.address, a.port, a.asked) <=>
             std::tuple(b.connection, b.guest.number(), b.address, b.port, b.asked);
    }
    friend bool operator==(const Asker&, const Asker&) = default;
  };

  struct Context {
    const GuestDirectory& directory;
    DnsOutlet& outlet;
    std::function<void(const Asker&, std::span<const std::uint8_t>)> reply;
    std::function<std::uint16_t()> random;  // not to be guessed
    Log& log;
  };

  DnsForwarder(const NetworkConfig& config, Context context);

  // True when a reply is given or will be, false when there is none to it.
  bool query(const Asker& asker, std::span<const std::uint8_t> message, Time now);
  void on_reply(DnsAttemptId attempt, std::span<const std::uint8_t> message, Time now);
  void on_failure(DnsAttemptId attempt, const std::string& why, Time now);
  // Nobody is there for its replies any more.
  void forget_connection(std::uint64_t connection);

  // When on_time() is to be called; Time::max(): never. Any other call may change it.
  Time next_deadline() const;
  void on_time(Time now);

  void set_resolvers(const ResolverList& list);
  void set_zone(const NetworkConfig& config) { zone_ = DnsZone(config, context_.directory); }

  // Resolvers, counters and what is under way.
  DnsStatus status() const;
  DnsCounters& counters() { return counters_; }

 private:
  struct Resolver {
    ResolverAddress address;
    DnsStatus::Resolver status;
    std::uint32_t silences = 0;  // in a row
    Time probe_due{0};
  };
  using ResolverRef = std::shared_ptr<Resolver>;
  struct Attempt {
    ResolverRef resolver;
    std::uint64_t pending = 0;  // 0: only the resolver's health is asked for
    std::uint16_t id = 0;
    DnsQuestion question;
    Transport transport = Transport::udp;
    Time expires{0};
    bool waited_for = true;  // not a probe, not expired
    bool probe = false;
  };
  using DuplicateKey = std::tuple<Asker, std::uint16_t, std::uint16_t, std::string>;
  struct Pending {
    Asker asker;
    DnsQuestion question;
    std::vector<std::uint8_t> query;  // as it is sent, but for the ID
    std::uint16_t guest_id = 0;
    std::size_t reply_size_max = 0;
    std::vector<ResolverRef> order;
    std::size_t asked = 0;               // of order, counted through all rounds
    std::vector<DnsAttemptId> attempts;  // open ones
    std::set<ResolverRef> out;           // refused or unreachable
    std::vector<std::uint8_t> refusal;
    Time due{0};
    Time ends{0};
    std::optional<std::set<DuplicateKey>::iterator> duplicate;  // of one by UDP
    bool is_counted = false;                                    // as one of its guest's
  };

  void answer(const Asker& asker, std::span<const std::uint8_t> reply) {
    context_.reply(asker, reply);
  }
  // A query that can be answered; otherwise what it gets is already said.
  std::optional<DnsMessage> check(const Asker& asker, const DnsHead& head,
                                  std::span<const std::uint8_t> message);
  void forward(const Asker& asker, const DnsMessage& query, std::span<const std::uint8_t> message,
               Time now);
  void begin(std::uint64_t id, const Asker& asker, const DnsMessage& query,
             std::span<const std::uint8_t> message, Time now);
  std::vector<ResolverRef> order_of_asking();
  void probe_dead(std::uint64_t id, Time now);
  void ask_next(std::uint64_t id, Time now);
  bool ask(std::uint64_t id, const ResolverRef& resolver, bool probe, Time now);
  DnsAttemptId open_attempt(std::uint64_t id, const ResolverRef& resolver);
  // The nearest time at which an attempt that is waited for is given up; Time::max() when none is.
  Time waits_until(const Pending& pending) const;
  // Goes on after one resolver is out: waits for those still asked, or asks the next.
  void go_on(std::uint64_t id, Time now);
  void set_due(std::uint64_t id, Time due);
  void expire(std::uint64_t id, Time now);
  void finish(std::uint64_t id, std::vector<std::uint8_t> reply);
  void fail(std::uint64_t id);
  void forget(std::uint64_t id);
  void end_attempt(DnsAttemptId id);
  bool is_reply_to(const Attempt& attempt, const DnsHead& head) const;
  void on_refusal(Pending& pending, const DnsHead& head, std::span<const std::uint8_t> message);
  void note_silence(const Attempt& attempt, Time now);
  void note_unreachable(const Attempt& attempt, const std::string& why, Time now);
  void note_reply(Resolver& resolver);
  void put_last(Resolver& resolver, std::string_view why, Time now);
  Duration timeout(Transport transport) const;
  static DuplicateKey duplicate_key(const Asker& asker, std::uint16_t id,
                                    const DnsQuestion& question);
  static std::vector<std::uint8_t> with_id(std::span<const std::uint8_t> message, std::uint16_t id);

  Context context_;
  DnsZone zone_;
  ResolverList list_;
  std::vector<ResolverRef> resolvers_;
  std::size_t rotation_ = 0;
  DnsCounters counters_;
  std::uint64_t next_id_ = 1;
  std::map<std::uint64_t, Pending> pendings_;
  std::map<DnsAttemptId, Attempt> attempts_;
  std::set<std::pair<Time, std::uint64_t>> deadlines_;       // of pendings
  std::set<std::pair<Time, DnsAttemptId>> probe_deadlines_;  // of attempts without a pending
  std::set<DuplicateKey> duplicates_;                        // under way by UDP
  std::map<std::uint64_t, std::size_t> pending_by_guest_;
};

}  // namespace lanyard
