// SPDX-License-Identifier: MIT
#include "switch/control/rpc_session.h"

#include <fmt/ranges.h>

#include "switch/base/text.h"
#include "switch/control/rpc_handlers.h"
#include "switch/control/rpc_params.h"
#include "switch/control/rpc_server.h"

namespace lanyard {
namespace {

constexpr Duration kReaderPause = std::chrono::milliseconds(2);
// What one slice of a long answer may take.
constexpr Duration kSlice = std::chrono::microseconds(300);

}  // namespace

Result<void> RpcSession::open(UniqueFd client) {
  LineChannel::Callbacks callbacks;
  callbacks.line = [this](std::string_view line) { on_line(line); };
  callbacks.too_long = [this] {
    respond(rpc_error_line(nullptr, {RpcCode::parse_error,
                                     fmt::format("a line can have {} bytes at most", kLineMax)}));
  };
  callbacks.closed = [this] { server_.ended(*this); };
  Result<std::unique_ptr<LineChannel>> channel =
      LineChannel::open(server_.host().loop(), std::move(client),
                        LineChannel::Limits{kLineMax, kOutputMax}, std::move(callbacks));
  if (!channel) return channel.error();
  channel_ = channel.take();
  return {};
}

void RpcSession::close() {
  source_ = nullptr;
  stream_timer_.reset();
  resume_timer_.reset();
  channel_.reset();
}

void RpcSession::on_line(std::string_view line) {
  const Time begin = monotonic_now();
  RpcMessage message = parse_rpc(line);
  if (const auto* const request = std::get_if<RpcRequest>(&message)) {
    run(*request);
  } else if (const auto* const garbage = std::get_if<RpcGarbage>(&message)) {
    respond(rpc_error_line(garbage->id, garbage->error));
  } else {
    respond(rpc_error_line(nullptr, {RpcCode::invalid_request, "nobody asked you"}));
  }
  server_.spend(monotonic_now() - begin);
  if (!is_closed() && !source_ && !server_.has_time()) pause();
}

// The rest of the lines in the loop's next round, when frames have had their turn.
void RpcSession::pause() {
  channel_->hold(true);
  resume_timer_ = later(Duration{0}, &RpcSession::resume);
}

void RpcSession::resume() {
  resume_timer_.reset();
  if (is_closed() || source_) return;
  if (server_.has_time()) return channel_->hold(false);
  pause();
}

// A step that finds no memory is the end: the client would wait for the next one in vain.
EventLoop::Timer RpcSession::later(Duration delay, void (RpcSession::*step)()) {
  EventLoop& loop = server_.host().loop();
  return loop.after(delay, [this, step, &loop] {
    if (!loop.run([this, step] { (this->*step)(); })) cut_off();
  });
}

void RpcSession::run(const RpcRequest& request) {
  const RpcAnswer answer(weak_from_this(), request.id, !request.is_notification);
  const RpcMethod* const method = find_rpc_method(request.method);
  const RpcHandler handler = find_rpc_handler(request.method);
  if (method == nullptr || handler == nullptr) {
    return answer.error(unknown_rpc_method(request.method));
  }
  if (method->role == RpcRole::admin && role_ != RpcRole::admin) {
    return answer.error(
        {RpcCode::not_permitted,
         fmt::format("{} changes something, and user {} may only look", request.method, who_.uid)});
  }
  if (const std::optional<RpcError> wrong = check_rpc_params(*method, request.params)) {
    return answer.error(*wrong);
  }
  if (method->role == RpcRole::admin) log_change(request);
  std::erase_if(waiting_, [](const RpcAnswer::Waiting& one) { return !one.id(); });
  // The answer to this one is a predecessor's last word.
  if (request.method != "daemon.upgrade") waiting_.push_back(answer.waiting());
  RpcCall call{server_.host(), server_, *this, request.params, answer};
  handler(call);
  if (method->role == RpcRole::admin) server_.host().commit();
}

void RpcSession::log_change(const RpcRequest& request) const {
  constexpr std::size_t kShown = 300;
  const std::string params =
      request.params.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, kShown);
  server_.host().log().notice("user {} (pid {}): {} {}", who_.uid, who_.pid, request.method,
                              printable(params));
}

void RpcSession::respond(std::string_view line) {
  if (is_closed()) return;
  if (!source_) {
    channel_->send(line);
    return;
  }
  if (held_.size() + line.size() > kOutputMax) return server_.ended(*this);
  append_line(held_, line);
}

void RpcSession::cut_off() {
  if (channel_ != nullptr) channel_->cut_off();
}

void RpcSession::stream(RpcTextSource source) {
  if (is_closed()) return;
  if (source_) {
    // Two long answers at once: only after an asynchronous one; this one is sent behind.
    std::string text;
    while (text.size() < kOutputMax && source(text)) {
    }
    if (!text.empty() && text.back() == '\n') text.pop_back();
    return respond(text);
  }
  stream_timer_ = later(Duration{0}, &RpcSession::continue_stream);
  source_ = std::move(source);
  channel_->hold(true);
  last_progress_ = server_.host().loop().now();
  last_unsent_ = 0;
}

void RpcSession::continue_stream() {
  stream_timer_.reset();
  if (is_closed()) return;
  const EventLoop& loop = server_.host().loop();
  const auto again = [&](Duration pause) {
    stream_timer_ = later(pause, &RpcSession::continue_stream);
  };
  if (channel_->unsent() > kPartBytes) {
    if (channel_->unsent() != last_unsent_) last_progress_ = loop.now();
    last_unsent_ = channel_->unsent();
    if (loop.now() - last_progress_ > kProgressDeadline) return server_.ended(*this);
    return again(kReaderPause);
  }
  last_progress_ = loop.now();
  if (!server_.has_time()) return again(Duration{0});
  const Time begin = monotonic_now();
  std::string text;
  bool more = true;
  while (more && text.size() < kPartBytes && monotonic_now() - begin < kSlice) more = source_(text);
  server_.spend(monotonic_now() - begin);
  if (!channel_->send_part(text)) return;
  if (more) return again(Duration{0});
  end_stream();
}

void RpcSession::end_stream() {
  source_ = nullptr;
  if (!held_.empty() && !channel_->send_part(std::exchange(held_, {}))) return;
  channel_->hold(false);
}

std::optional<HandoverPart> RpcSession::handover() const {
  if (is_closed() || source_ || channel_->unsent() != 0) return std::nullopt;
  const std::optional<std::string_view> unread = channel_->unread();
  if (!unread) return std::nullopt;
  HandoverPart part;
  part.kind = "session";
  part.descriptors.push_back({channel_->fd(), since_, false, false});
  part.set("input", std::string(*unread));
  if (subscribed_) part.set("kinds", fmt::format("{}", fmt::join(kinds_, " ")));
  Json unanswered = Json::array();
  for (const RpcAnswer::Waiting& one : waiting_) {
    if (const std::optional<Json> id = one.id()) unanswered.push_back(*id);
  }
  part.set("unanswered", unanswered.dump(-1, ' ', false, Json::error_handler_t::replace));
  return part;
}

// What its predecessor had begun to do is over, and nobody knows how.
void RpcSession::go_on_from(const HandoverPart& part) {
  since_ = part.descriptors[0].since;
  if (part.values.contains("kinds")) {
    std::set<std::string, std::less<>> kinds;
    for (const std::string_view kind : split_words(part.text("kinds"))) kinds.emplace(kind);
    subscribe(std::move(kinds));
  }
  const Json unanswered = Json::parse(part.text("unanswered"), nullptr, false);
  if (unanswered.is_array()) {
    for (const Json& id : unanswered) {
      respond(rpc_error_line(
          id, {RpcCode::failed, "the daemon was upgraded before it had an answer; ask again"}));
    }
  }
  if (!is_closed()) channel_->receive_again(part.text("input"));
}

void RpcSession::subscribe(std::set<std::string, std::less<>> kinds) {
  subscribed_ = true;
  kinds_ = std::move(kinds);
}

bool RpcSession::wants(std::string_view kind) const {
  return subscribed_ && !is_closed() && (kinds_.empty() || kinds_.contains(kind));
}

void RpcSession::notify(std::string_view line) {
  if (channel_->unsent() + held_.size() > kEventsUnreadMax) {
    server_.host().log().notice("a subscriber (pid {}, user {}) does not read its events; cut off",
                                who_.pid, who_.uid);
    return server_.ended(*this);
  }
  respond(line);
}

}  // namespace lanyard
