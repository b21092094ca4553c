// SPDX-License-Identifier: MIT
//
// What becomes of an address: offered, bound, expired, quarantined; probes, clocks and the store.
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <ctime>

#include "backend/gateway/dhcp_engine.h"
#include "backend/gateway/guest_name.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::uint32_t kLeaseTimeMin = 60;
// A renewal that moves the end by less is not written: a client may renew as often as it likes.
constexpr Duration kUnwrittenMax = std::chrono::seconds(60);
constexpr Duration kClockCheckInterval = std::chrono::seconds(60);
constexpr std::int64_t kClockJump_s = 30;

std::int64_t seconds_of(Time time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time).count();
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Without an identifier of the client's own: hardware type and address.
bool is_mac_id(const Lease& lease) {
  const auto octets = lease.mac.bytes();
  return lease.client_id == '\1' + std::string(octets.begin(), octets.end());
}

}  // namespace

DhcpServer::Engine::Engine(const NetworkConfig& config, MacAddress server_mac, GuestLink& link,
                           LeaseStore& store, Log& log, Callbacks callbacks, Time now)
    : server_mac_(server_mac),
      link_(link),
      store_(store),
      log_(log),
      callbacks_(std::move(callbacks)) {
  if (auto done = reconfigure(config, now); !done) log_.error("{}", done.error().text);
  wall_minus_monotonic_s_ = wall_clock_s() - seconds_of(now);
  load(now);
}

Result<void> DhcpServer::Engine::reconfigure(const NetworkConfig& config, Time now) {
  const auto server = server_address(config);
  const bool usable = config.subnet && server;
  config_ = config;
  server_ = server.value_or(Ipv4Address());
  if (!usable) config_.dhcp.enabled = false;
  pool_ = std::make_unique<AddressPool>(config_, server_);
  read_names();
  std::vector<Ipv4Address> gone;
  for (const auto& [address, row] : table_.rows()) {
    const bool stays = row.lease.state == LeaseState::bound && pool_->in_subnet(address);
    if (!stays && !pool_->permits(address, pool_->host_of(row.lease.mac))) gone.push_back(address);
  }
  for (const Ipv4Address address : gone) drop(address, "no longer of the network", now);
  if (config.dhcp.enabled && !usable) {
    return Error{EINVAL, fmt::format("network {}: DHCP needs a subnet and an address in it for the "
                                     "server (router, dhcp address or the host's)",
                                     config.name)};
  }
  return {};
}

void DhcpServer::Engine::read_names() {
  configured_names_.clear();
  for (const HostConfig& host : config_.hosts) configured_names_.insert(lower(host.name));
  for (const DnsRecordConfig& record : config_.dns.records) {
    std::string name = lower(record.name);
    const std::string domain = '.' + lower(config_.domain);
    if (domain.size() > 1 && name.ends_with(domain)) name.resize(name.size() - domain.size());
    configured_names_.insert(std::move(name));
  }
}

// What the store has, trusted as far as it was granted: an end that lies further off than the lease
// time means that the clock was set, not that the lease is longer.
void DhcpServer::Engine::load(Time now) {
  const std::int64_t wall = wall_clock_s();
  for (Lease& lease : store_.load()) {
    if (lease.state == LeaseState::declined) {
      load_declined(lease, wall, now);
      continue;
    }
    if (!pool_->permits(lease.address, pool_->host_of(lease.mac)) || lease.client_id.empty()) {
      store_.erase(lease.address);
      continue;
    }
    const std::int64_t granted = lease.lease_time_s;
    // Far past and far future are the same as just past and just granted.
    const std::int64_t left =
        std::clamp(lease.expires_s - wall, -std::int64_t{UINT32_MAX}, granted);
    Row row;
    row.lease = std::move(lease);
    row.until = row.written = now + std::chrono::seconds(left);
    row.lease.state = left > 0 ? LeaseState::bound : LeaseState::expired;
    row.was_bound = true;
    if (!row.lease.name.empty() && table_.find_name(row.lease.name) != nullptr) {
      row.lease.name.clear();
    }
    if (const Row* const other = table_.find_client(row.lease.client_id)) {
      const Ipv4Address loser = other->until < row.until ? other->lease.address : row.lease.address;
      store_.erase(loser);
      if (loser == row.lease.address) continue;
      table_.erase(loser);
    }
    table_.put(std::move(row));
  }
}

// Who uses it has not gone away because we have.
void DhcpServer::Engine::load_declined(const Lease& lease, std::int64_t wall, Time now) {
  const std::int64_t left = std::min(lease.expires_s - wall, seconds_of(kQuarantineTime));
  if (left <= 0 || !pool_->in_subnet(lease.address)) return store_.erase(lease.address);
  Row row;
  row.lease = lease;
  row.until = now + std::chrono::seconds(left);
  table_.put(std::move(row));
}

const LeaseTable::Row* DhcpServer::Engine::row_of(const Query& query) const {
  const MacAddress mac = query.message.chaddr;
  if (query.host != nullptr && query.host->address) {
    // A reservation is for a MAC, whatever identifier its system has this time.
    const Row* const there = table_.find(*query.host->address);
    const bool is_there = there != nullptr && there->lease.state != LeaseState::declined;
    if (is_there && there->lease.mac == mac) return there;
  }
  if (const Row* const row = table_.find_client(query.client_id)) return row;
  const Row* const row = table_.find_mac(mac);
  if (row == nullptr) return nullptr;
  Lease as_asked = row->lease;
  as_asked.client_id = query.client_id;
  return is_mac_id(row->lease) || is_mac_id(as_asked) ? row : nullptr;
}

// Another machine with the same identity, as it seems.
bool DhcpServer::Engine::is_suspect(const Query& query, const Row& row) const {
  return config_.dhcp.probe && row.lease.state == LeaseState::bound &&
         row.lease.mac != query.message.chaddr && query.probed != row.lease.address;
}

// The address becomes an offer to the client, unless it is its lease already.
bool DhcpServer::Engine::take(Ipv4Address address, const Query& query) {
  const Row* const mine = row_of(query);
  const bool is_mine = mine != nullptr && mine->lease.address == address;
  if (is_mine && mine->lease.state == LeaseState::bound) return true;
  const bool is_offered = is_mine && mine->lease.state == LeaseState::offered;
  if (!is_offered && table_.count(LeaseState::offered) >= kOffersMax) {
    if (allow_line(query.now)) {
      log_.warning("DHCP: {} offers are open, {} has to ask again",
                   table_.count(LeaseState::offered), query.message.chaddr.text());
    }
    return false;
  }
  Row row;
  if (is_mine) {
    row = *mine;
    if (row.lease.state == LeaseState::expired) row.bound_until = row.until;
  } else {
    if (table_.find(address) != nullptr) store_.erase(address);
    row.lease.address = address;
  }
  row.lease.mac = query.message.chaddr;
  row.lease.client_id = query.client_id;
  row.lease.state = LeaseState::offered;
  row.until = query.now + kOfferTime;
  drop_others(query, address);
  table_.put(std::move(row));
  return true;
}

const LeaseTable::Row& DhcpServer::Engine::bind(Ipv4Address address, const Query& query) {
  const Row* const before = table_.find(address);
  Row row = before != nullptr ? *before : Row{};
  const bool is_renewal = row.lease.state == LeaseState::bound && before != nullptr &&
                          row.lease.client_id == query.client_id &&
                          row.lease.mac == query.message.chaddr;
  const std::string old_name = row.lease.name;
  row.lease.address = address;
  row.lease.mac = query.message.chaddr;
  row.lease.client_id = query.client_id;
  row.lease.name = name_for(query, row);
  row.lease.state = LeaseState::bound;
  row.lease.lease_time_s = lease_time_for(query);
  row.until = query.now + std::chrono::seconds(row.lease.lease_time_s);
  row.was_bound = true;
  const bool is_news = !is_renewal || row.lease.name != old_name || row.until < row.written ||
                       row.until - row.written >= kUnwrittenMax;
  if (is_news) row.written = row.until;
  drop_others(query, address);
  end_probe(address);
  table_.put(std::move(row));
  const Row& placed = *table_.find(address);
  if (is_news) {
    store_.put(snapshot(placed, query.now));
    tell("lease.granted", placed, is_renewal ? "renewed" : "new", query.now);
  }
  return placed;
}

std::string DhcpServer::Engine::name_for(const Query& query, const Row& row) const {
  if (query.host != nullptr && !query.host->name.empty()) return lower(query.host->name);
  const auto wanted = guest_name(query.message);
  const auto is_taken = [&](const std::string& name) {
    return is_name_taken(name, row.lease.address, query.host);
  };
  if (!wanted) return is_taken(row.lease.name) ? std::string() : row.lease.name;
  return unique_guest_name(*wanted, is_taken);
}

bool DhcpServer::Engine::is_name_taken(const std::string& name, Ipv4Address except,
                                       const HostConfig* host) const {
  if (host != nullptr && lower(host->name) == name) return false;
  if (configured_names_.contains(name)) return true;
  const Row* const row = table_.find_name(name);
  return row != nullptr && row->lease.address != except;
}

std::uint32_t DhcpServer::Engine::lease_time_for(const Query& query) const {
  std::uint32_t configured = config_.dhcp.lease_time_s;
  if (query.host != nullptr && query.host->lease_time_s) configured = *query.host->lease_time_s;
  const auto wish = query.message.number(dhcp_option::lease_time);
  if (!wish) return configured;
  return std::min(configured, std::max(*wish, kLeaseTimeMin));
}

// A client has one address: what it had besides this one is free.
void DhcpServer::Engine::drop_others(const Query& query, Ipv4Address except) {
  for (int i = 0; i < 2; ++i) {
    const Row* const other = i == 0 ? row_of(query) : table_.find_client(query.client_id);
    if (other != nullptr && other->lease.address != except) {
      drop(other->lease.address, "has another address", query.now);
    }
  }
}

void DhcpServer::Engine::drop(Ipv4Address address, std::string_view reason, Time now) {
  const Row* const row = table_.find(address);
  if (row == nullptr) return;
  if (row->lease.state == LeaseState::bound) tell("lease.ended", *row, reason, now);
  end_probe(address);
  table_.erase(address);
  store_.erase(address);
  pool_->returned(address);
}

void DhcpServer::Engine::quarantine(Ipv4Address address, MacAddress user, std::string_view reason,
                                    Time now) {
  if (const Row* const row = table_.find(address)) {
    tell("lease.ended", *row, reason, now);
  }
  if (allow_line(now)) {
    log_.warning("{} is not handed out for {} minutes: {}{}", address.text(),
                 std::chrono::duration_cast<std::chrono::minutes>(kQuarantineTime).count(), reason,
                 user.is_zero() ? std::string(" by its client") : ", by " + user.text());
  }
  end_probe(address);
  Row row;
  row.lease.address = address;
  row.lease.mac = user;
  row.lease.state = LeaseState::declined;
  row.until = now + kQuarantineTime;
  store_.put(snapshot(row, now));
  table_.put(std::move(row));
}

// Its time has come, or it is not wanted any more.
void DhcpServer::Engine::end_of(Ipv4Address address, Time now) {
  const Row row = *table_.find(address);
  const bool was_lease = row.lease.state == LeaseState::bound || row.was_bound;
  const bool keeps = was_lease && row.lease.state != LeaseState::declined &&
                     pool_->permits(address, pool_->host_of(row.lease.mac));
  end_probe(address);
  if (row.lease.state == LeaseState::bound) tell("lease.ended", row, "expired", now);
  if (!keeps) {
    table_.erase(address);
    store_.erase(address);
    pool_->returned(address);
    return;
  }
  table_.change(address, [&](Row& r) {
    if (r.lease.state == LeaseState::offered) r.until = r.bound_until;
    r.lease.state = LeaseState::expired;
  });
}

bool DhcpServer::Engine::needs_probe(const Row& row, const Query& query) const {
  return config_.dhcp.probe && row.lease.state == LeaseState::offered && !row.was_bound &&
         !row.probed && query.probed != row.lease.address;
}

void DhcpServer::Engine::start_probe(Ipv4Address address, const Query& query) {
  const auto running = probes_.find(address);
  if (running != probes_.end()) {
    // The same client again: the answer will be to what it said last.
    Probe& probe = running->second;
    if (probe.message.chaddr == query.message.chaddr) probe.message = query.message;
    return;
  }
  if (probes_.size() >= kOffersMax) return;
  const Time next = query.now + kProbeTime / 2;
  probes_.emplace(address, Probe{query.message, query.from, query.source, next, false});
  probe_times_.emplace(next, address);
  link_.send_arp_request(Ipv4Address(), address);
}

void DhcpServer::Engine::end_probe(Ipv4Address address) {
  const auto at = probes_.find(address);
  if (at == probes_.end()) return;
  probe_times_.erase({at->second.next, address});
  probes_.erase(at);
}

void DhcpServer::Engine::on_probe_time(Ipv4Address address, Time now) {
  Probe& probe = probes_.at(address);
  if (!probe.repeated) {  // a lost frame is no free address
    probe_times_.erase({probe.next, address});
    probe.repeated = true;
    probe.next = now + kProbeTime / 2;
    probe_times_.emplace(probe.next, address);
    link_.send_arp_request(Ipv4Address(), address);
    return;
  }
  const Probe done = std::move(probe);
  probe_times_.erase({done.next, address});
  probes_.erase(address);
  table_.change(address, [](Row& row) { row.probed = true; });
  handle(done.message, done.from, done.source, now, address, false);
}

void DhcpServer::Engine::on_arp(Ipv4Address sender, MacAddress mac, Time now) {
  if (sender.is_unspecified() || mac == server_mac_) return;
  const auto at = probes_.find(sender);
  if (at == probes_.end()) {
    const Row* const row = table_.find(sender);
    if (row != nullptr && row->lease.state == LeaseState::bound && row->lease.mac != mac &&
        conflict_limit_.allow(now)) {
      log_.warning("{} is leased to {}, but {} uses it too", sender.text(), row->lease.mac.text(),
                   mac.text());
    }
    return;
  }
  const Probe probe = at->second;
  end_probe(sender);
  if (mac == probe.message.chaddr) {  // it is the client itself
    table_.change(sender, [](Row& row) { row.probed = true; });
    handle(probe.message, probe.from, probe.source, now, sender, false);
    return;
  }
  const Row* const row = table_.find(sender);
  const bool was_for_lease = row != nullptr && row->lease.state == LeaseState::offered;
  if (was_for_lease) quarantine(sender, mac, "already in use", now);
  handle(probe.message, probe.from, probe.source, now, std::nullopt, !was_for_lease);
}

std::optional<Time> DhcpServer::Engine::next_deadline() const {
  std::optional<Time> first;
  const auto consider = [&](Time time) { first = first ? std::min(*first, time) : time; };
  if (const auto end = table_.next_end()) consider(end->first);
  if (!probe_times_.empty()) consider(probe_times_.begin()->first);
  if (table_.count(LeaseState::bound) > 0) consider(next_clock_check_);
  return first;
}

void DhcpServer::Engine::on_time(Time now) {
  while (!probe_times_.empty() && probe_times_.begin()->first <= now) {
    on_probe_time(probe_times_.begin()->second, now);
  }
  for (auto end = table_.next_end(); end && end->first <= now; end = table_.next_end()) {
    end_of(end->second, now);
  }
  check_clock(now);
}

// Suspend counts as a jump, too: the guests were suspended with us, so their time stood still.
void DhcpServer::Engine::check_clock(Time now) {
  if (now < next_clock_check_) return;
  next_clock_check_ = now + kClockCheckInterval;
  const std::int64_t difference = wall_clock_s() - seconds_of(now);
  const std::int64_t jump = difference - wall_minus_monotonic_s_;
  if (std::abs(jump) < kClockJump_s) return;
  wall_minus_monotonic_s_ = difference;
  log_.notice("the clock has jumped by {} s; the lease file is written anew", jump);
  std::vector<Lease> kept;
  for (const auto& [address, row] : table_.rows()) {
    const bool declined = row.lease.state == LeaseState::declined;
    if (row.was_bound || declined) kept.push_back(snapshot(row, now));
  }
  store_.replace(kept);
}

Result<void> DhcpServer::Engine::forget(Ipv4Address address, Time now) {
  if (table_.find(address) == nullptr) {
    return Error{ENOENT, fmt::format("nobody has a lease for {}", address.text())};
  }
  drop(address, "deleted", now);
  return {};
}

std::vector<Lease> DhcpServer::Engine::leases(Time now) const {
  std::vector<Lease> all;
  all.reserve(table_.rows().size() + config_.hosts.size());
  for (const auto& [address, row] : table_.rows()) all.push_back(snapshot(row, now));
  for (const HostConfig& host : config_.hosts) {
    if (!host.address || table_.find(*host.address) != nullptr) continue;
    Lease lease;
    lease.address = *host.address;
    lease.mac = host.mac.value_or(MacAddress());
    lease.name = lower(host.name);
    lease.state = LeaseState::reserved;
    all.push_back(std::move(lease));
  }
  std::sort(all.begin(), all.end(),
            [](const Lease& a, const Lease& b) { return a.address < b.address; });
  return all;
}

std::int64_t DhcpServer::Engine::wall_clock_s() const {
  return callbacks_.wall_clock_s ? callbacks_.wall_clock_s() : std::time(nullptr);
}

Lease DhcpServer::Engine::snapshot(const Row& row, Time now) const {
  Lease lease = row.lease;
  lease.expires_s = wall_clock_s() + seconds_of(row.until - now);
  return lease;
}

void DhcpServer::Engine::tell(std::string_view kind, const Row& row, std::string_view reason,
                              Time now) {
  if (callbacks_.on_event) callbacks_.on_event({kind, snapshot(row, now), std::string(reason)});
}

bool DhcpServer::Engine::allow_line(Time now) {
  if (!log_limit_.allow(now)) return false;
  if (const std::uint64_t held = log_limit_.take_suppressed()) {
    log_.notice("DHCP: {} lines like the following were not written", held);
  }
  return true;
}

}  // namespace lanyard
