// SPDX-License-Identifier: MIT
#include "backend/gateway/control.h"

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "switch/base/text.h"
#include "switch/network/config_json.h"

namespace lanyard {
namespace {

// Log lines beyond this much unread output are lost, before the channel itself gives up.
constexpr std::size_t kLogRoom = std::size_t{1} << 20;

std::string_view text_of(LogLevel level) {
  switch (level) {
    case LogLevel::error: return "error";
    case LogLevel::warning: return "warning";
    case LogLevel::notice: return "notice";
    case LogLevel::info: return "info";
    case LogLevel::debug: return "debug";
  }
  return "info";
}

Result<std::string> text_at(const Json& params, const char* key) {
  const auto found = params.find(key);
  if (found == params.end() || !found->is_string()) {
    return Error{EINVAL, fmt::format("'{}' must be there, as a string", key)};
  }
  return found->get<std::string>();
}

}  // namespace

const GatewayControl::Row GatewayControl::kRows[] = {
    {"configure", &GatewayControl::configure},
    {"status", &GatewayControl::status},
    {"lease.list", &GatewayControl::lease_list},
    {"lease.delete", &GatewayControl::lease_delete},
    {"forward.list", &GatewayControl::forward_list},
    {"forward.add", &GatewayControl::forward_add},
    {"forward.delete", &GatewayControl::forward_delete},
    {"flow.list", &GatewayControl::flow_list},
};

Result<std::unique_ptr<GatewayControl>> GatewayControl::open(EventLoop& loop, UniqueFd frames,
                                                             UniqueFd control, UniqueFd listeners,
                                                             Confine confine) {
  std::unique_ptr<GatewayControl> made(
      new GatewayControl(loop, std::move(listeners), std::move(confine)));
  GatewayControl* const at = made.get();
  LineChannel::Callbacks lines;
  lines.line = [at](std::string_view line) { at->on_line(line); };
  lines.too_long = [at] {
    at->channel_->send(
        rpc_error_line(nullptr, {RpcCode::invalid_request, "a request of more than 1 MiB"}));
  };
  lines.closed = [at] { at->loop_.stop(); };
  Result<std::unique_ptr<LineChannel>> channel =
      LineChannel::open(loop, std::move(control), {}, std::move(lines));
  if (!channel) return channel.error();
  made->channel_ = channel.take();

  FrameChannel::Callbacks callbacks;
  callbacks.frames = [at](std::span<FrameChannel::Received> received) {
    if (at->gateway_) at->gateway_->on_frames(received);
  };
  callbacks.room = [at] {
    if (at->gateway_) at->gateway_->on_room();
  };
  callbacks.closed = [at] { at->loop_.stop(); };
  Result<std::unique_ptr<FrameChannel>> opened =
      FrameChannel::open(loop, std::move(frames), std::move(callbacks));
  if (!opened) return opened.error();
  made->frames_ = opened.take();
  return made;
}

GatewayControl::~GatewayControl() = default;

void GatewayControl::turn() {
  loop_.run_once(false);
  if (gateway_) gateway_->end_of_turn();
}

void GatewayControl::shut_down() {
  if (gateway_) gateway_->shut_down();
}

void GatewayControl::ControlLog::write(LogLevel level, std::string_view line) {
  if (control_.channel_ == nullptr || control_.channel_->unsent() > kLogRoom) {
    ++lost_;
    return;
  }
  if (lost_ != 0) {
    const std::string text = fmt::format("{} log lines were lost", std::exchange(lost_, 0));
    control_.notify("log", {{"level", "warning"}, {"text", text}});
  }
  control_.notify("log", {{"level", text_of(level)}, {"text", std::string(line)}});
}

bool GatewayControl::notify(std::string_view method, const Json& params) {
  return channel_->send(rpc_notification_line(method, params));
}

void GatewayControl::on_line(std::string_view line) {
  const RpcMessage message = parse_rpc(line);
  if (const auto* const request = std::get_if<RpcRequest>(&message)) {
    answer(*request);
  } else if (const auto* const garbage = std::get_if<RpcGarbage>(&message)) {
    channel_->send(rpc_error_line(garbage->id, garbage->error));
  }
}

void GatewayControl::answer(const RpcRequest& request) {
  const auto* const row =
      std::find_if(std::begin(kRows), std::end(kRows),
                   [&](const Row& candidate) { return candidate.method == request.method; });
  if (row == std::end(kRows)) {
    if (!request.is_notification) {
      channel_->send(rpc_error_line(
          request.id,
          {RpcCode::method_not_found, fmt::format("no method '{}'", printable(request.method))}));
    }
    return;
  }
  Result<Json> result = row->handler == &GatewayControl::configure || gateway_
                            ? (this->*row->handler)(request.params)
                            : Result<Json>(Error{ENXIO, "the gateway is not configured yet"});
  if (request.is_notification) return;
  channel_->send(result ? rpc_result_line(request.id, result.value())
                        : rpc_error_line(request.id, rpc_error_of(result.error())));
}

Result<Json> GatewayControl::configure(const Json& params) {
  const auto network = params.find("network");
  if (network == params.end()) return Error{EINVAL, "'network' must be there"};
  const Result<NetworkConfig> config = network_from_json(*network);
  if (!config) return config.error();
  if (gateway_) {
    if (Result<void> done = gateway_->reconfigure(config.value()); !done) return done.error();
    return Json::object();
  }
  Result<std::string> directory = text_at(params, "state_directory");
  if (!directory) return directory.error();
  Gateway::Context context{loop_, *frames_, log_, directory.value(), {}, &listeners_};
  context.event = [this](std::string_view kind, Json fields) {
    fields["kind"] = std::string(kind);
    notify("event", fields);
  };
  Result<std::unique_ptr<Gateway>> gateway = Gateway::create(config.value(), std::move(context));
  if (!gateway) return gateway.error();
  // With everything made that is made once, and before a guest or the outside is heard.
  if (confine_) {
    if (Result<void> done = confine_(config.value(), directory.value(), log_); !done) {
      return done.error();
    }
    confine_ = nullptr;
  }
  gateway_ = gateway.take();
  return Json::object();
}

Result<Json> GatewayControl::status(const Json&) {
  return gateway_->status();
}

Result<Json> GatewayControl::lease_list(const Json& params) {
  return pages_.page(
      params, "leases", [this] { return gateway_->leases(); }, loop_.now());
}

Result<Json> GatewayControl::lease_delete(const Json& params) {
  const Result<std::string> text = text_at(params, "address");
  if (!text) return text.error();
  const auto address = Ipv4Address::parse(text.value());
  if (!address) {
    return Error{EINVAL, fmt::format("'{}' is not an IPv4 address", printable(text.value()))};
  }
  if (Result<void> done = gateway_->forget_lease(*address); !done) return done.error();
  return Json::object();
}

Result<Json> GatewayControl::forward_list(const Json&) {
  return gateway_->forwards();
}

Result<Json> GatewayControl::forward_add(const Json& params) {
  const auto found = params.find("forward");
  if (found == params.end()) return Error{EINVAL, "'forward' must be there"};
  const Result<ForwardConfig> forward = forward_from_json(*found);
  if (!forward) return forward.error();
  if (Result<void> done = gateway_->add_forward(forward.value()); !done) return done.error();
  return Json::object();
}

Result<Json> GatewayControl::forward_delete(const Json& params) {
  const Result<std::string> name = text_at(params, "name");
  if (!name) return name.error();
  if (Result<void> done = gateway_->remove_forward(name.value()); !done) return done.error();
  return Json::object();
}

Result<Json> GatewayControl::flow_list(const Json& params) {
  return pages_.page(
      params, "flows", [this] { return gateway_->flows(); }, loop_.now());
}

}  // namespace lanyard
