// SPDX-License-Identifier: MIT
#include "switch/daemon/gateway_listeners.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "switch/base/descriptor_passing.h"
#include "switch/base/one_message.h"
#include "switch/base/text.h"
#include "switch/network/config_json.h"
#include "switch/network/listener_answer.h"

namespace lanyard {
namespace {

// A path has some hundred bytes, and as JSON at most six times as many.
constexpr std::size_t kRequestMax = 2048;

std::string text_in(const Json& object, const char* key) {
  const Json value = object.value(key, Json());
  return value.is_string() ? value.get<std::string>() : std::string();
}

}  // namespace

Result<std::unique_ptr<GatewayListeners>> GatewayListeners::open(EventLoop& loop, Log& log,
                                                                 PathSockets& sockets,
                                                                 std::string network,
                                                                 UniqueFd socket) {
  std::unique_ptr<GatewayListeners> made(
      new GatewayListeners(log, sockets, std::move(network), std::move(socket)));
  Result<EventLoop::Watch> watch =
      loop.watch(made->socket_.get(), EPOLLIN, [&loop, listeners = made.get()](std::uint32_t) {
        if (loop.run([=] { listeners->on_readable(); })) return;
        // It waits, and so does every frame for it.
        listeners->answer(ListenerAnswer::kAnyId, Error{ENOMEM, "no memory"});
      });
  if (!watch) return watch.error();
  made->watch_ = watch.take();
  return made;
}

GatewayListeners::~GatewayListeners() {
  for (const std::string& path : names_) sockets_.remove_name(path);
}

// ---- what the gateway may have ----

void GatewayListeners::asked(std::uint64_t id, std::string_view method, const Json& params) {
  Change change;
  const auto bring = [&](const Json& json) {
    const Result<ForwardConfig> forward = forward_from_json(json);
    if (forward && !forward.value().unix_path.empty()) {
      add(Grant{forward.value().name, forward.value().unix_path}, change);
    }
  };
  if (method == "forward.add") {
    bring(params.value("forward", Json::object()));
  } else if (method == "forward.delete") {
    const std::string name = text_in(params, "name");
    std::copy_if(grants_.begin(), grants_.end(), std::back_inserter(change.gone),
                 [&](const Grant& grant) { return grant.forward == name; });
  } else if (method == "configure") {
    const Result<NetworkConfig> config = network_from_json(params.value("network", Json::object()));
    if (!config) return;
    // Not those that are still on their way: the gateway keeps what was added meanwhile.
    for (const Grant& grant : grants_) {
      const auto& wanted = config.value().forwards;
      const bool stays = std::any_of(wanted.begin(), wanted.end(), [&](const ForwardConfig& one) {
        return one.name == grant.forward && one.unix_path == grant.path;
      });
      if (grant.settled && !stays) change.gone.push_back(grant);
    }
    for (const ForwardConfig& forward : config.value().forwards) {
      if (!forward.unix_path.empty()) add(Grant{forward.name, forward.unix_path}, change);
    }
  } else {
    return;
  }
  changes_.emplace(id, std::move(change));
}

void GatewayListeners::answered(std::uint64_t id, bool done) {
  auto found = changes_.extract(id);
  if (found.empty()) return;
  const Change& change = found.mapped();
  if (!done) return drop(change.came);
  for (Grant& grant : grants_) {
    grant.settled |= std::any_of(change.came.begin(), change.came.end(),
                                 [&](const Grant& one) { return one.is(grant); });
  }
  drop(change.gone);
}

void GatewayListeners::add(const Grant& grant, Change& change) {
  if (std::any_of(grants_.begin(), grants_.end(), [&](const Grant& g) { return g.is(grant); })) {
    return;
  }
  grants_.push_back(grant);
  change.came.push_back(grant);
}

void GatewayListeners::drop(const std::vector<Grant>& grants) {
  for (const Grant& grant : grants) {
    std::erase_if(grants_, [&](const Grant& one) { return one.is(grant); });
    if (!is_granted(grant.path)) remove_name(grant.path);
  }
}

bool GatewayListeners::is_granted(std::string_view path) const {
  return std::any_of(grants_.begin(), grants_.end(),
                     [&](const Grant& grant) { return grant.path == path; });
}

void GatewayListeners::remove_name(const std::string& path) {
  if (names_.erase(path) != 0) sockets_.remove_name(path);
}

// ---- what it asks for ----

void GatewayListeners::on_readable() {
  std::array<char, kRequestMax> text;
  // One message a turn, so that a gateway that asks without end does not have the loop for itself.
  const ssize_t size = ::recv(socket_.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_TRUNC);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  // Its end is seen to by whoever watches the process.
  if (size <= 0) return watch_.reset();
  if (static_cast<std::size_t>(size) > text.size()) return;
  on_request({text.data(), static_cast<std::size_t>(size)});
}

void GatewayListeners::on_request(std::string_view text) {
  const RpcMessage message = parse_rpc(text);
  const auto* const request = std::get_if<RpcRequest>(&message);
  if (request == nullptr) return;
  const std::string path = text_in(request->params, "path");
  if (request->method == "unlisten") return remove_name(path);
  if (request->method != "listen" || !request->id.is_number_unsigned()) return;
  answer(request->id.get<std::uint64_t>(), make(path));
}

Result<UniqueFd> GatewayListeners::make(const std::string& path) {
  if (!is_granted(path)) {
    if (refusals_.allow(monotonic_now())) {
      log_.warning("the gateway of {} asks to listen at {}, where no forward of it begins",
                   network_, printable(path));
    }
    return Error{EPERM, "no forward begins there"};
  }
  Result<UniqueFd> made = sockets_.listen_at(path);
  if (made) names_.insert(path);
  return made;
}

void GatewayListeners::answer(std::uint64_t id, const Result<UniqueFd>& made) {
  ListenerAnswer answer;
  answer.id = id;
  answer.code = made ? 0 : made.error().code;
  iovec content{&answer, sizeof answer};
  PassedDescriptor passed;
  msghdr header{};
  header.msg_iov = &content;
  header.msg_iovlen = 1;
  if (made) passed.attach(header, made.value().get());
  if (send_message(socket_.get(), header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return;
  // It does not read; it has not got it, and gives up by itself.
  log_.warning("the gateway of {} does not take its sockets: {}", network_, std::strerror(errno));
}

// ---- a successor goes on ----

std::string GatewayListeners::names() const {
  return Json(names_).dump(-1, ' ', false, Json::error_handler_t::replace);
}

void GatewayListeners::resume(const std::string& names, const Json& configuration) {
  asked(0, "configure", configuration);
  answered(0, true);
  const Result<Json> parsed = parse_json(names);
  if (!parsed || !parsed.value().is_array()) return;
  for (const Json& name : parsed.value()) {
    if (!name.is_string() || !is_granted(name.get<std::string>())) continue;
    names_.insert(name.get<std::string>());
    sockets_.adopt_name(name.get<std::string>());
  }
}

}  // namespace lanyard
