// SPDX-License-Identifier: MIT
//
// What can be asked of a gateway.
#include <cerrno>

#include "backend/gateway/gateway.h"
#include "switch/base/text.h"
#include "switch/network/config_json.h"

namespace lanyard {
namespace {

std::string with_port(const IpAddress& address, std::uint16_t port) {
  return address.is_v4() ? fmt::format("{}:{}", address.text(), port)
                         : fmt::format("[{}]:{}", address.text(), port);
}

Json to_json(const Flow& flow, const GuestDirectory& directory) {
  Json row{{"transport", flow.transport}, {"guest", with_port(flow.guest, flow.guest_port)},
           {"host", flow.host},           {"target", with_port(flow.target, flow.target_port)},
           {"state", flow.state},         {"bytes_out", flow.bytes_out},
           {"bytes_in", flow.bytes_in},   {"forward", flow.forward},
           {"engine", flow.engine}};
  row["name"] = directory.name_of(flow.guest).value_or("");
  return row;
}

Json to_json(const FrameCounters& frames, const FrameChannel& channel) {
  return {{"received_frames", frames.received_frames},
          {"received_bytes", frames.received_bytes},
          {"sent_frames", frames.sent_frames},
          {"sent_bytes", frames.sent_bytes},
          {"runts", frames.runts},
          {"bad_offload", frames.bad_offload},
          {"dropped", frames.dropped},
          {"refused", frames.refused},
          {"backlog_bytes", channel.backlog()}};
}

Json to_json(const GatewayCounters& counters) {
  Json ways = Json::object();
  for (std::size_t i = 0; i < kGatewayWays; ++i) {
    ways[std::string(kGatewayWayNames[i])] = counters.of(static_cast<GatewayWay>(i));
  }
  for (std::size_t i = 1; i <= kPacketFaults; ++i) {
    const auto fault = static_cast<PacketFault>(i);
    if (counters.of(fault) != 0) ways[std::string(name_of(fault))] = counters.of(fault);
  }
  return ways;
}

Json to_json(const PingRelay& pings) {
  const PingCounters& c = pings.counters();
  return {{"permitted", pings.problem().empty()},
          {"problem", pings.problem()},
          {"sockets", pings.sockets()},
          {"sent", c.sent},
          {"answered", c.answered},
          {"errors", c.errors},
          {"refused", c.refused},
          {"not_permitted", c.not_permitted},
          {"failed", c.failed},
          {"evicted", c.evicted}};
}

}  // namespace

Json Gateway::status() const {
  Json warnings = Json::array();
  const auto warn = [&warnings](std::string text) {
    if (!text.empty()) warnings.push_back(std::move(text));
  };
  Json addresses = Json::array();
  for (const IpAddress& address : responder_.addresses()) addresses.push_back(address.text());
  Json status{{"network", config_.name},
              {"kind", kind_text(config_.kind)},
              {"mac", mac().text()},
              {"addresses", std::move(addresses)},
              {"neighbours", neighbours_.size()},
              {"frames", to_json(context_.channel.counters(), context_.channel)},
              {"ways", to_json(counters_)}};
  if (dhcp_) status["dhcp"] = {{"leases", dhcp_->bound_count()}};
  if (tftp_) status["tftp"] = {{"sessions", tftp_->sessions()}};
  if (dns_) {
    const DnsStatus dns = dns_->status();
    warn(dns.problem);
    status["dns"] = lanyard::to_json(dns);
  }
  if (pings_) {
    warn(pings_->problem());
    status["ping"] = to_json(*pings_);
  }
  if (nat_) {
    Json counters = Json::object();
    for (const auto& [name, count] : nat_->counters()) counters[name] = count;
    status["nat"] = {{"flows", nat_->flow_count()}, {"counters", std::move(counters)}};
    for (const ForwardStatus& forward : nat_->forwards()) {
      if (forward.listening || forward.problem.empty()) continue;
      warn(fmt::format("forward {}: {}", forward.config.name, forward.problem));
    }
  }
  status["warnings"] = std::move(warnings);
  return status;
}

Json Gateway::leases() const {
  Json rows = Json::array();
  if (dhcp_) {
    for (const Lease& lease : dhcp_->leases(context_.loop.now())) {
      rows.push_back(lanyard::to_json(lease));
    }
  }
  return rows;
}

Json Gateway::forwards() const {
  Json rows = Json::array();
  if (nat_) {
    for (const ForwardStatus& forward : nat_->forwards()) {
      Json row{{"name", forward.config.name},
               {"from", forward_from_text(forward.config)},
               {"to", forward_to_text(forward.config)},
               {"flows", forward.flows},
               {"state", forward.listening ? "listening" : forward.problem}};
      rows.push_back(std::move(row));
    }
  }
  return {{"forwards", std::move(rows)}};
}

Json Gateway::flows() const {
  Json rows = Json::array();
  if (nat_) {
    for (const Flow& flow : nat_->flows()) rows.push_back(to_json(flow, directory_));
  }
  if (pings_) {
    for (const Flow& flow : pings_->flows()) rows.push_back(to_json(flow, directory_));
  }
  return rows;
}

Result<void> Gateway::forget_lease(Ipv4Address address) {
  if (!dhcp_) return Error{ENOENT, fmt::format("network {} has no DHCP server", config_.name)};
  return dhcp_->forget(address, context_.loop.now());
}

Result<void> Gateway::add_forward(const ForwardConfig& forward) {
  if (!nat_) {
    return Error{EINVAL, fmt::format("network {} is {}: only nat networks forward ports",
                                     config_.name, kind_text(config_.kind))};
  }
  if (Result<void> done = nat_->add_forward(forward); !done) return done;
  context_.event("forward.changed", {{"name", forward.name}, {"change", "added"}});
  return {};
}

Result<void> Gateway::remove_forward(std::string_view name) {
  if (!nat_) return Error{ENOENT, fmt::format("network {} has no forwards", config_.name)};
  if (Result<void> done = nat_->remove_forward(name); !done) return done;
  context_.event("forward.changed", {{"name", std::string(name)}, {"change", "removed"}});
  return {};
}

}  // namespace lanyard
