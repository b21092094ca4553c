// SPDX-License-Identifier: MIT
#include "backend/gateway/dns_forwarder.h"

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "switch/base/text.h"

namespace lanyard {
namespace {

bool is_refusal(DnsRcode rcode) {
  return rcode == DnsRcode::server_failure || rcode == DnsRcode::refused ||
         rcode == DnsRcode::not_implemented;
}

Transport transport_of(const DnsForwarder::Asker& asker) {
  return asker.connection != 0 ? Transport::tcp : Transport::udp;
}

// Nothing that a resolver could help.
bool is_our_own_lack(int code) {
  return code == EMFILE || code == ENFILE || code == ENOMEM || code == ENOBUFS;
}

}  // namespace

DnsForwarder::DnsForwarder(const NetworkConfig& config, Context context)
    : context_(std::move(context)), zone_(config, context_.directory) {}

std::vector<std::uint8_t> DnsForwarder::with_id(std::span<const std::uint8_t> message,
                                                std::uint16_t id) {
  std::vector<std::uint8_t> copy(message.begin(), message.end());
  copy[0] = static_cast<std::uint8_t>(id >> 8);
  copy[1] = static_cast<std::uint8_t>(id);
  return copy;
}

std::optional<DnsMessage> DnsForwarder::check(const Asker& asker, const DnsHead& head,
                                              std::span<const std::uint8_t> message) {
  const auto refuse = [&](DnsRcode rcode) {
    ++counters_.malformed;
    answer(asker, make_dns_error(head, rcode));
    return std::nullopt;
  };
  if (head.header.opcode != 0) return refuse(DnsRcode::not_implemented);
  std::optional<DnsMessage> query = parse_dns_message(message);
  if (!query || query->questions.size() != 1) return refuse(DnsRcode::format_error);
  const DnsQuestion& question = query->questions.front();
  // Zones are nobody's here, and their transfer is not one reply.
  if (question.klass != kDnsClassIn || question.type == DnsType::axfr ||
      question.type == DnsType::ixfr) {
    return refuse(DnsRcode::refused);
  }
  return query;
}

bool DnsForwarder::query(const Asker& asker, std::span<const std::uint8_t> message, Time now) {
  ++counters_.queries;
  const std::optional<DnsHead> head = parse_dns_head(message);
  // A response must not be answered: two servers would talk for ever.
  if (!head || head->header.response) {
    ++counters_.malformed;
    return false;
  }
  const std::optional<DnsMessage> query = check(asker, *head, message);
  if (!query) return true;
  const bool tcp = asker.connection != 0;
  if (const auto local = zone_.answer(query->questions.front())) {
    ++counters_.local;
    const std::vector<std::uint8_t> reply =
        make_dns_reply(*query, *local, tcp ? kDnsMessageSizeMax : dns_udp_size_of(*query));
    if (DnsHeader::from(0, static_cast<std::uint16_t>(reply[2] << 8)).truncated) {
      ++counters_.truncated;
    }
    answer(asker, reply);
    return true;
  }
  if (!tcp &&
      duplicates_.contains(duplicate_key(asker, query->header.id, query->questions.front()))) {
    ++counters_.duplicates;
    return true;
  }
  const auto account = pending_by_guest_.find(asker.guest.number());
  const bool full = pendings_.size() >= kPendingMax ||
                    (account != pending_by_guest_.end() && account->second >= kPendingPerGuestMax);
  if (full || resolvers_.empty()) {
    ++(full ? counters_.refused : counters_.failed);
    answer(asker, make_dns_error(*query, DnsRcode::server_failure));
    return true;
  }
  forward(asker, *query, message, now);
  return true;
}

void DnsForwarder::forward(const Asker& asker, const DnsMessage& query,
                           std::span<const std::uint8_t> message, Time now) {
  const std::uint64_t id = next_id_++;
  try {
    begin(id, asker, query, message, now);
  } catch (const std::bad_alloc&) {
    // Or it would pass for the question that its guest asks again.
    if (pendings_.contains(id)) forget(id);
    throw;
  }
}

void DnsForwarder::begin(std::uint64_t id, const Asker& asker, const DnsMessage& query,
                         std::span<const std::uint8_t> message, Time now) {
  Pending& pending = pendings_[id];
  pending.asker = asker;
  pending.question = query.questions.front();
  pending.query.assign(message.begin(), message.end());
  pending.guest_id = query.header.id;
  pending.reply_size_max = kDnsMessageSizeMax;
  if (asker.connection == 0) {
    pending.reply_size_max = dns_udp_size_of(query);
    if (query.edns && query.edns->udp_size > kDnsUdpSizeMax) {
      pending.query[query.edns->udp_size_offset] = static_cast<std::uint8_t>(kDnsUdpSizeMax >> 8);
      pending.query[query.edns->udp_size_offset + 1] = static_cast<std::uint8_t>(kDnsUdpSizeMax);
    }
  }
  pending.order = order_of_asking();
  pending.ends = now + kQueryTimeMax;
  if (asker.connection == 0) {
    pending.duplicate =
        duplicates_.insert(duplicate_key(asker, pending.guest_id, pending.question)).first;
  }
  ++pending_by_guest_[asker.guest.number()];
  pending.is_counted = true;
  ++counters_.forwarded;
  // It ends whatever happens to it.
  set_due(id, pending.ends);
  probe_dead(id, now);
  ask_next(id, now);
}

DnsForwarder::DuplicateKey DnsForwarder::duplicate_key(const Asker& asker, std::uint16_t id,
                                                       const DnsQuestion& question) {
  return {asker, id, static_cast<std::uint16_t>(question.type), question.name.key()};
}

std::vector<DnsForwarder::ResolverRef> DnsForwarder::order_of_asking() {
  std::vector<ResolverRef> order = resolvers_;
  const auto dead = std::stable_partition(order.begin(), order.end(),
                                          [](const ResolverRef& r) { return r->status.answers; });
  if (list_.rotate && dead != order.begin()) {
    const auto first = static_cast<std::ptrdiff_t>(rotation_++) % (dead - order.begin());
    std::rotate(order.begin(), order.begin() + first, dead);
  }
  return order;
}

// When none answers, each is asked in its turn anyway.
void DnsForwarder::probe_dead(std::uint64_t id, Time now) {
  const Pending& pending = pendings_.at(id);
  if (transport_of(pending.asker) != Transport::udp || !pending.order.front()->status.answers) {
    return;
  }
  for (const ResolverRef& resolver : resolvers_) {
    if (resolver->status.answers || resolver->probe_due > now) continue;
    resolver->probe_due = now + kProbeInterval;
    ask(id, resolver, true, now);
  }
}

void DnsForwarder::ask_next(std::uint64_t id, Time now) {
  Pending& pending = pendings_.at(id);
  while (pending.asked < pending.order.size() * list_.rounds) {
    const ResolverRef resolver = pending.order[pending.asked++ % pending.order.size()];
    if (!pending.out.contains(resolver) && ask(id, resolver, false, now)) return;
  }
  const Time until = waits_until(pending);
  until == Time::max() ? fail(id) : set_due(id, until);
}

DnsAttemptId DnsForwarder::open_attempt(std::uint64_t id, const ResolverRef& resolver) {
  Pending& pending = pendings_.at(id);
  for (const DnsAttemptId open : pending.attempts) {
    if (attempts_.at(open).resolver == resolver) return open;
  }
  const DnsAttemptId fresh = next_id_++;
  pending.attempts.reserve(pending.attempts.size() + 1);
  Attempt& attempt = attempts_[fresh];
  attempt.resolver = resolver;
  attempt.pending = id;
  attempt.id = context_.random();
  attempt.question = pending.question;
  attempt.transport = transport_of(pending.asker);
  pending.attempts.push_back(fresh);
  return fresh;
}

bool DnsForwarder::ask(std::uint64_t id, const ResolverRef& resolver, bool probe, Time now) {
  Pending& pending = pendings_.at(id);
  const DnsAttemptId attempt_id = open_attempt(id, resolver);
  Attempt& attempt = attempts_.at(attempt_id);
  attempt.waited_for = !probe;
  attempt.probe = probe;
  attempt.expires = now + timeout(attempt.transport);
  ++resolver->status.queries;
  const Result<void> sent = context_.outlet.send(attempt_id, resolver->address, attempt.transport,
                                                 with_id(pending.query, attempt.id));
  if (!sent) {
    if (!is_our_own_lack(sent.error().code)) note_unreachable(attempt, sent.error().text, now);
    pending.out.insert(resolver);
    end_attempt(attempt_id);
    return false;
  }
  if (!probe) set_due(id, std::min(attempt.expires, pending.ends));
  return true;
}

Duration DnsForwarder::timeout(Transport transport) const {
  const Duration one = std::chrono::seconds(list_.timeout_s);
  return transport == Transport::tcp ? std::max(one, kTcpTimeout) : one;
}

Time DnsForwarder::waits_until(const Pending& pending) const {
  Time until = Time::max();
  for (const DnsAttemptId id : pending.attempts) {
    const Attempt& attempt = attempts_.at(id);
    if (attempt.waited_for) until = std::min(until, attempt.expires);
  }
  return until;
}

void DnsForwarder::go_on(std::uint64_t id, Time now) {
  const Time until = waits_until(pendings_.at(id));
  until == Time::max() ? ask_next(id, now) : set_due(id, until);
}

void DnsForwarder::set_due(std::uint64_t id, Time due) {
  Pending& pending = pendings_.at(id);
  auto deadline = deadlines_.extract({pending.due, id});
  const Time fresh = std::min(due, pending.ends);
  if (deadline.empty()) {
    deadlines_.insert({fresh, id});
  } else {
    deadline.value() = {fresh, id};
    deadlines_.insert(std::move(deadline));
  }
  pending.due = fresh;
}

bool DnsForwarder::is_reply_to(const Attempt& attempt, const DnsHead& head) const {
  const DnsHeader& header = head.header;
  if (!header.response || header.opcode != 0 || header.id != attempt.id) return false;
  // Some repeat no question when they failed.
  if (head.questions == 0)
    return is_refusal(header.rcode) || header.rcode == DnsRcode::format_error;
  return head.questions == 1 && head.question == attempt.question;
}

void DnsForwarder::on_reply(DnsAttemptId attempt_id, std::span<const std::uint8_t> message,
                            Time now) {
  const auto found = attempts_.find(attempt_id);
  if (found == attempts_.end()) return;
  const Attempt& attempt = found->second;
  const std::optional<DnsHead> head = parse_dns_head(message);
  if (!head || !is_reply_to(attempt, *head)) {
    ++counters_.forged;
    return;
  }
  const std::uint64_t id = attempt.pending;
  const ResolverRef resolver = attempt.resolver;
  note_reply(*resolver);
  end_attempt(attempt_id);
  if (id == 0) return;
  Pending& pending = pendings_.at(id);
  if (is_refusal(head->header.rcode) || head->questions == 0) {
    pending.out.insert(resolver);
    on_refusal(pending, *head, message);
    return go_on(id, now);
  }
  ++counters_.answered;
  if (message.size() <= pending.reply_size_max)
    return finish(id, with_id(message, pending.guest_id));
  DnsHeader header = head->header;
  header.id = pending.guest_id;
  const std::optional<DnsMessage> query = parse_dns_message(pending.query);
  ++counters_.truncated;
  finish(id, make_dns_truncated(*query, header));
}

// The first refusal is kept, should nobody know better.
void DnsForwarder::on_refusal(Pending& pending, const DnsHead& head,
                              std::span<const std::uint8_t> message) {
  if (!pending.refusal.empty()) return;
  if (head.questions == 1 && message.size() <= pending.reply_size_max) {
    pending.refusal = with_id(message, pending.guest_id);
    return;
  }
  const std::optional<DnsMessage> query = parse_dns_message(pending.query);
  pending.refusal = with_id(make_dns_error(*query, head.header.rcode), pending.guest_id);
}

void DnsForwarder::on_failure(DnsAttemptId attempt_id, const std::string& why, Time now) {
  const auto found = attempts_.find(attempt_id);
  if (found == attempts_.end()) return;
  const std::uint64_t id = found->second.pending;
  const ResolverRef resolver = found->second.resolver;
  note_unreachable(found->second, why, now);
  end_attempt(attempt_id);
  if (id == 0) return;
  pendings_.at(id).out.insert(resolver);
  go_on(id, now);
}

Time DnsForwarder::next_deadline() const {
  Time next = Time::max();
  if (!deadlines_.empty()) next = deadlines_.begin()->first;
  if (!probe_deadlines_.empty()) next = std::min(next, probe_deadlines_.begin()->first);
  return next;
}

void DnsForwarder::on_time(Time now) {
  while (!probe_deadlines_.empty() && probe_deadlines_.begin()->first <= now) {
    const DnsAttemptId id = probe_deadlines_.begin()->second;
    note_silence(attempts_.at(id), now);
    end_attempt(id);
  }
  // By what is due at the beginning: whatever is asked anew is due later.
  std::vector<std::uint64_t> due;
  for (const auto& [when, id] : deadlines_) {
    if (when > now) break;
    due.push_back(id);
  }
  for (const std::uint64_t id : due) {
    const auto pending = pendings_.find(id);
    if (pending != pendings_.end() && pending->second.due <= now) expire(id, now);
  }
}

void DnsForwarder::expire(std::uint64_t id, Time now) {
  Pending& pending = pendings_.at(id);
  for (const DnsAttemptId open : pending.attempts) {
    Attempt& attempt = attempts_.at(open);
    if (attempt.expires > now || (!attempt.waited_for && !attempt.probe)) continue;
    // It stays open: a late reply is a reply.
    attempt.waited_for = attempt.probe = false;
    note_silence(attempt, now);
  }
  pending.ends <= now ? fail(id) : go_on(id, now);
}

void DnsForwarder::fail(std::uint64_t id) {
  Pending& pending = pendings_.at(id);
  ++counters_.failed;
  if (!pending.refusal.empty()) return finish(id, std::move(pending.refusal));
  const std::optional<DnsMessage> query = parse_dns_message(pending.query);
  finish(id, with_id(make_dns_error(*query, DnsRcode::server_failure), pending.guest_id));
}

void DnsForwarder::finish(std::uint64_t id, std::vector<std::uint8_t> reply) {
  const Asker asker = pendings_.at(id).asker;
  forget(id);
  answer(asker, reply);
}

// Needs no memory: it is also what is left to do where there is none.
void DnsForwarder::forget(std::uint64_t id) {
  Pending& pending = pendings_.at(id);
  auto deadline = deadlines_.extract({pending.due, id});
  for (const DnsAttemptId open : std::exchange(pending.attempts, {})) {
    Attempt& attempt = attempts_.at(open);
    if (!attempt.probe || deadline.empty()) {
      end_attempt(open);
      continue;
    }
    // Whether this resolver is back is still worth knowing.
    attempt.pending = 0;
    deadline.value() = {attempt.expires, open};
    probe_deadlines_.insert(std::move(deadline));
  }
  if (pending.duplicate) duplicates_.erase(*pending.duplicate);
  if (pending.is_counted) {
    const auto account = pending_by_guest_.find(pending.asker.guest.number());
    if (--account->second == 0) pending_by_guest_.erase(account);
  }
  pendings_.erase(id);
}

void DnsForwarder::end_attempt(DnsAttemptId id) {
  const auto found = attempts_.find(id);
  const Attempt& attempt = found->second;
  probe_deadlines_.erase({attempt.expires, id});
  if (attempt.pending != 0) std::erase(pendings_.at(attempt.pending).attempts, id);
  attempts_.erase(found);
  context_.outlet.close(id);
}

void DnsForwarder::forget_connection(std::uint64_t connection) {
  std::vector<std::uint64_t> gone;
  for (const auto& [id, pending] : pendings_) {
    if (pending.asker.connection == connection) gone.push_back(id);
  }
  for (const std::uint64_t id : gone) forget(id);
}

void DnsForwarder::note_reply(Resolver& resolver) {
  ++resolver.status.replies;
  resolver.silences = 0;
  if (resolver.status.answers) return;
  resolver.status.answers = true;
  resolver.status.problem.clear();
  context_.log.notice("the resolver {} answers again", resolver.status.address);
}

void DnsForwarder::note_silence(const Attempt& attempt, Time now) {
  Resolver& resolver = *attempt.resolver;
  ++resolver.status.timeouts;
  // A resolver without TCP is still one.
  if (attempt.transport == Transport::tcp) return;
  if (++resolver.silences >= kDeadAfter) put_last(resolver, "does not answer", now);
}

void DnsForwarder::note_unreachable(const Attempt& attempt, const std::string& why, Time now) {
  Resolver& resolver = *attempt.resolver;
  if (attempt.transport == Transport::tcp) {
    resolver.status.problem = "by TCP: " + why;
    return;
  }
  put_last(resolver, why, now);
}

void DnsForwarder::put_last(Resolver& resolver, std::string_view why, Time now) {
  resolver.status.problem = why;
  if (!resolver.status.answers) return;
  resolver.status.answers = false;
  resolver.probe_due = now + kProbeInterval;
  context_.log.notice("the resolver {} cannot be used: {}; it is asked after the others now",
                      resolver.status.address, why);
}

void DnsForwarder::set_resolvers(const ResolverList& list) {
  list_ = list;
  std::vector<ResolverRef> resolvers;
  for (const ResolverAddress& address : list.addresses) {
    const auto known = std::find_if(resolvers_.begin(), resolvers_.end(),
                                    [&](const ResolverRef& r) { return r->address == address; });
    if (known != resolvers_.end()) {
      resolvers.push_back(*known);
      continue;
    }
    auto fresh = std::make_shared<Resolver>();
    fresh->address = address;
    fresh->status.address = address.text();
    resolvers.push_back(std::move(fresh));
  }
  resolvers_ = std::move(resolvers);
}

DnsStatus DnsForwarder::status() const {
  DnsStatus status;
  for (const ResolverRef& resolver : resolvers_) status.resolvers.push_back(resolver->status);
  status.counters = counters_;
  status.pending = static_cast<std::uint32_t>(pendings_.size());
  return status;
}

}  // namespace lanyard
