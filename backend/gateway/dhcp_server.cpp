// SPDX-License-Identifier: MIT
#include "backend/gateway/dhcp_server.h"

#include <algorithm>

#include "backend/gateway/dhcp_engine.h"

namespace lanyard {
namespace {

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

DhcpServer::DhcpServer(const NetworkConfig& config, MacAddress server_mac, GuestLink& link,
                       LeaseStore& store, Log& log, Callbacks callbacks, Time now)
    : engine_(std::make_unique<Engine>(config, server_mac, link, store, log, std::move(callbacks),
                                       now)) {}

DhcpServer::~DhcpServer() = default;

void DhcpServer::on_datagram(const GuestDatagram& datagram, Time now) {
  engine_->on_datagram(datagram, now);
}

void DhcpServer::on_arp(Ipv4Address sender, MacAddress mac, Time now) {
  engine_->on_arp(sender, mac, now);
}

std::optional<Time> DhcpServer::next_deadline() const {
  return engine_->next_deadline();
}

void DhcpServer::on_time(Time now) {
  engine_->on_time(now);
}

Result<void> DhcpServer::reconfigure(const NetworkConfig& config, Time now) {
  return engine_->reconfigure(config, now);
}

std::vector<Lease> DhcpServer::leases(Time now) const {
  return engine_->leases(now);
}

std::size_t DhcpServer::bound_count() const {
  return engine_->table().count(LeaseState::bound);
}

Result<void> DhcpServer::forget(Ipv4Address address, Time now) {
  return engine_->forget(address, now);
}

std::optional<Ipv4Address> DhcpServer::address_of(std::string_view name) const {
  for (const HostConfig& host : engine_->config().hosts) {
    if (!same_name(host.name, name)) continue;
    const auto leased = host.mac ? address_of(*host.mac) : std::nullopt;
    return leased ? leased : host.address;
  }
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const auto* const row = engine_->table().find_name(lower);
  return row != nullptr ? std::optional(row->lease.address) : std::nullopt;
}

std::optional<Ipv4Address> DhcpServer::address_of(MacAddress mac) const {
  const auto* const row = engine_->table().find_mac(mac);
  if (row != nullptr && row->lease.state == LeaseState::bound) return row->lease.address;
  const HostConfig* const host = engine_->pool().host_of(mac);
  return host != nullptr ? host->address : std::nullopt;
}

std::optional<std::string> DhcpServer::name_of(Ipv4Address address) const {
  const auto* const row = engine_->table().find(address);
  if (row != nullptr && row->lease.state == LeaseState::bound) {
    return row->lease.name.empty() ? std::nullopt : std::optional(row->lease.name);
  }
  const HostConfig* const host = engine_->pool().reserved_for(address);
  return host != nullptr && !host->name.empty() ? std::optional(host->name) : std::nullopt;
}

std::optional<MacAddress> DhcpServer::mac_of(Ipv4Address address) const {
  const auto* const row = engine_->table().find(address);
  if (row != nullptr && row->lease.state == LeaseState::bound) return row->lease.mac;
  const HostConfig* const host = engine_->pool().reserved_for(address);
  return host != nullptr ? host->mac : std::nullopt;
}

std::optional<Ipv4Address> DhcpServer::server_address(const NetworkConfig& config) {
  if (config.dhcp_address) return config.dhcp_address;
  if (config.router) return config.router;
  if (config.host && config.host->address) return config.host->address->address;
  return std::nullopt;
}

}  // namespace lanyard
