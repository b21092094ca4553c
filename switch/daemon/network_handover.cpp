// SPDX-License-Identifier: MIT
//
// A network on its way from one process to the next: what it tells of itself, and how it goes on
// from that. A part's place is where it hangs: "socket PATH", "plug URL", "host",
// "gateway", "plugin".
#include "switch/base/text.h"
#include "switch/daemon/handover_frames.h"
#include "switch/daemon/network.h"

namespace lanyard {
namespace {

constexpr std::string_view kSocketPlace = "socket ";
constexpr std::string_view kPlugPlace = "plug ";
constexpr std::string_view kHostPlace = "host";
constexpr std::string_view kGatewayPlace = "gateway";
constexpr std::string_view kPortsPlace = "ports";
constexpr std::string_view kPluginPlace = "plugin";

void add(std::vector<HandoverPart>& to, std::vector<HandoverPart> parts) {
  for (HandoverPart& part : parts) to.push_back(std::move(part));
}

}  // namespace

SwitchRecord Network::handover(HandoverReason why) {
  SwitchRecord record;
  record.name = config_.name;
  record.state = switch_->state();
  std::vector<HandoverPart>& parts = record.parts;
  for (const auto& [path, socket] : sockets_) {
    add(parts, socket.attachment->handover(why, fmt::format("{}{}", kSocketPlace, path)));
  }
  for (const auto& [url, plug] : plugs_) {
    add(parts, plug->handover(why, fmt::format("{}{}", kPlugPlace, url)));
  }
  if (host_ != nullptr) add(parts, host_->handover(why, std::string(kHostPlace)));
  if (gateway_ != nullptr && gateway_plug_ != nullptr && gateway_plug_->plugs().size() == 1) {
    if (std::optional<HandoverPart> part = gateway_->handover()) {
      const Plug& plug = **gateway_plug_->plugs().begin();
      part->place = kGatewayPlace;
      part->descriptors.push_back(
          {plug.endpoint().wait_fd(), part->descriptors.front().since, false, false});
      parts.push_back(std::move(*part));
    }
  }
  add(parts, plugins_->handover());
  HandoverPart ports;
  ports.place = kPortsPlace;
  ports.set("socket_vlan", places_of_ports());
  parts.push_back(std::move(ports));
  if (why == HandoverReason::upgrade) seal_frames(*switch_, environment_.pool, record);
  return record;
}

std::string Network::places_of_ports() const {
  std::string text;
  for (const PortId port : socket_vlan_ports_) append(text, "{} ", port);
  return text;
}

void Network::resume(const SwitchRecord& before) {
  if (Result<void> restored = switch_->restore(before.state); !restored) {
    environment_.log.error("network {}: what was configured cannot be had again: {}", config_.name,
                           restored.error().text);
  }
  resuming_ = true;
  // First: frames are not to pass an acl by.
  plugins_->resume(config_.plugins, before.parts);
  const HandoverPart* gateway = nullptr;
  for (const HandoverPart& part : before.parts) {
    if (part.place == kPluginPlace) continue;
    if (part.place == kGatewayPlace) {
      gateway = &part;
      continue;
    }
    if (Result<void> resumed = resume_part(part); !resumed) {
      environment_.log.error("network {}: {} is lost on the way from one process to the next: {}",
                             config_.name, printable(part.place), resumed.error().text);
    }
  }
  resuming_ = false;
  if (config_.needs_gateway()) {
    make_gateway();
    gateway_->resume(gateway);
  }
  restore_frames(before, environment_.pool, *switch_, *lane_);
  open_missing();
}

Result<void> Network::resume_part(const HandoverPart& part) {
  const std::string_view place = part.place;
  if (place == kPortsPlace) {
    for (const std::string_view word : split_words(part.text("socket_vlan"))) {
      if (const auto port = parse_integer(word)) {
        socket_vlan_ports_.insert(static_cast<PortId>(*port));
      }
    }
    return {};
  }
  if (place == kHostPlace && config_.host) {
    Result<std::unique_ptr<HostLeg>> leg =
        HostLeg::resume(config_, environment_.backends, environment_.spawner, *lane_, part);
    if (!leg) return leg.error();
    host_ = leg.take();
    return {};
  }
  if (place.starts_with(kSocketPlace)) {
    const std::string path(place.substr(kSocketPlace.size()));
    Socket socket;
    for (const SocketConfig& config : config_.sockets) {
      if (config.path == path) socket.config = std::make_shared<SocketConfig>(config);
    }
    if (socket.config == nullptr) socket.config = std::make_shared<SocketConfig>();
    socket.config->path = path;
    socket.attachment = attach_socket(socket.config);
    Result<void> adopted = environment_.backends.adopt(part, *socket.attachment);
    if (adopted) sockets_.insert_or_assign(path, std::move(socket));
    return adopted;
  }
  if (place.starts_with(kPlugPlace)) {
    std::unique_ptr<Attachment> plug = attach_plug();
    Result<void> adopted = environment_.backends.adopt(part, *plug);
    if (adopted) plugs_.emplace(place.substr(kPlugPlace.size()), std::move(plug));
    return adopted;
  }
  return environment_.backends.adopt(part, *lane_);
}

// It may have followed the successor, and its port is told so when it is next served.
void Network::call_gateway_back() {
  if (gateway_plug_ == nullptr) return;
  for (Plug* const plug : gateway_plug_->plugs()) lane_->wake(*plug);
}

// What the configuration names and nobody has told of.
void Network::open_missing() {
  const auto complain = [this](const Result<void>& opened) {
    if (!opened) environment_.log.error("{}", opened.error().text);
  };
  for (const SocketConfig& socket : config_.sockets) {
    if (!sockets_.contains(socket.path)) complain(open_socket(socket));
  }
  for (const std::string& url : config_.plugs) {
    if (!plugs_.contains(url)) complain(open_plug(url));
  }
  if (config_.host && host_ == nullptr) complain(open_host(config_));
}

}  // namespace lanyard
