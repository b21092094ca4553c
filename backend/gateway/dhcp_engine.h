// SPDX-License-Identifier: MIT
//
// The inside of DhcpServer (see there): what a message means for the table of leases, and what is
// answered. Gateway thread only.
#pragma once

#include <map>
#include <set>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "backend/gateway/address_pool.h"
#include "backend/gateway/dhcp_message.h"
#include "backend/gateway/dhcp_server.h"
#include "backend/gateway/lease_table.h"

namespace lanyard {

class DhcpServer::Engine {
 public:
  Engine(const NetworkConfig& config, MacAddress server_mac, GuestLink& link, LeaseStore& store,
         Log& log, Callbacks callbacks, Time now);

  void on_datagram(const GuestDatagram& datagram, Time now);
  void on_arp(Ipv4Address sender, MacAddress mac, Time now);
  std::optional<Time> next_deadline() const;
  void on_time(Time now);
  Result<void> reconfigure(const NetworkConfig& config, Time now);
  Result<void> forget(Ipv4Address address, Time now);
  std::vector<Lease> leases(Time now) const;

  const LeaseTable& table() const { return table_; }
  const AddressPool& pool() const { return *pool_; }
  const NetworkConfig& config() const { return config_; }

 private:
  using Row = LeaseTable::Row;

  // A message and what is known about its sender.
  struct Query {
    const DhcpMessage& message;
    MacAddress from;  // of its frame
    Ipv4Address source;
    Time now{};
    std::string client_id;
    const HostConfig* host = nullptr;
    std::optional<Ipv4Address> probed;  // nobody else has answered for it
  };
  // A message that waits for whether somebody answers for the address.
  struct Probe {
    DhcpMessage message;
    MacAddress from;
    Ipv4Address source;
    Time next{};
    bool repeated = false;
  };
  using Probes = std::map<Ipv4Address, Probe>;

  // dhcp_engine.cpp: messages
  void handle(const DhcpMessage& message, MacAddress from, Ipv4Address source, Time now,
              std::optional<Ipv4Address> probed, bool is_twin);
  bool accepts(const DhcpMessage& message, Time now);
  void on_discover(const Query& query);
  void on_request(const Query& query);
  void on_decline(const Query& query);
  void on_release(const Query& query);
  void on_inform(const Query& query);
  void on_other_server(const Query& query);
  // Why the client cannot have the address; empty when it can.
  std::string objection(const Query& query, Ipv4Address address, bool is_selecting) const;
  std::optional<Ipv4Address> choose(const Query& query);
  void exhausted(const Query& query);
  void send_grant(const Query& query, DhcpType type, const Row& row);
  void send_nak(const Query& query, const std::string& why);
  void send(const Query& query, DhcpMessage reply, std::span<const DhcpOptionConfig> options);

  // dhcp_leases.cpp: the table
  void load(Time now);
  void load_declined(const Lease& lease, std::int64_t wall, Time now);
  const Row* row_of(const Query& query) const;
  bool is_suspect(const Query& query, const Row& row) const;
  bool take(Ipv4Address address, const Query& query);
  const Row& bind(Ipv4Address address, const Query& query);
  std::string name_for(const Query& query, const Row& row) const;
  bool is_name_taken(const std::string& name, Ipv4Address except, const HostConfig* host) const;
  std::uint32_t lease_time_for(const Query& query) const;
  void drop_others(const Query& query, Ipv4Address except);
  void drop(Ipv4Address address, std::string_view reason, Time now);
  void quarantine(Ipv4Address address, MacAddress user, std::string_view reason, Time now);
  void end_of(Ipv4Address address, Time now);
  bool needs_probe(const Row& row, const Query& query) const;
  void start_probe(Ipv4Address address, const Query& query);
  void end_probe(Ipv4Address address);
  void on_probe_time(Ipv4Address address, Time now);
  void check_clock(Time now);
  std::int64_t wall_clock_s() const;
  Lease snapshot(const Row& row, Time now) const;
  void tell(std::string_view kind, const Row& row, std::string_view reason, Time now);
  void read_names();
  bool allow_line(Time now);  // whether a line that guests can cause may be logged

  NetworkConfig config_;
  MacAddress server_mac_;
  Ipv4Address server_;
  GuestLink& link_;
  LeaseStore& store_;
  Log& log_;
  Callbacks callbacks_;
  std::unique_ptr<AddressPool> pool_;
  std::unordered_set<std::string> configured_names_;
  LeaseTable table_;
  Probes probes_;
  std::set<std::pair<Time, Ipv4Address>> probe_times_;
  RateLimit log_limit_{20, std::chrono::seconds(10)};
  RateLimit exhausted_limit_{1, std::chrono::seconds(30)};
  RateLimit conflict_limit_{4, std::chrono::seconds(60)};
  std::int64_t wall_minus_monotonic_s_ = 0;
  Time next_clock_check_{};
};

}  // namespace lanyard
