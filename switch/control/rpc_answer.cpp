// SPDX-License-Identifier: MIT
#include "switch/control/rpc_answer.h"

#include <new>
#include <utility>

namespace lanyard {
namespace {

std::string text_of(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

void RpcRows::add(const Json& row) {
  if (!std::exchange(first_, false)) text_ += ',';
  text_ += text_of(row);
}

RpcAnswer::RpcAnswer(std::weak_ptr<RpcClient> client, Json id, bool wanted)
    : state_(new State{std::move(client), std::move(id), wanted}) {}

RpcAnswer::State::~State() {
  if (wanted) send_none();
}

void RpcAnswer::State::send_none() noexcept {
  try {
    send(rpc_error_line(id, {RpcCode::internal_error, "the daemon has no answer"}));
  } catch (const std::bad_alloc&) {
    wanted = false;
    if (const std::shared_ptr<RpcClient> to = client.lock()) to->cut_off();
  }
}

void RpcAnswer::State::send(std::string_view line) {
  if (!wanted) return;
  if (const std::shared_ptr<RpcClient> to = client.lock()) to->respond(line);
  wanted = false;
}

RpcAnswer::Waiting RpcAnswer::waiting() const {
  return Waiting(state_);
}

std::optional<Json> RpcAnswer::Waiting::id() const {
  const std::shared_ptr<State> state = state_.lock();
  if (state == nullptr || !state->wanted) return std::nullopt;
  return state->id;
}

void RpcAnswer::result(const Json& value) const {
  if (state_->wanted) state_->send(rpc_result_line(state_->id, value));
}

void RpcAnswer::error(const RpcError& error) const {
  if (state_->wanted) state_->send(rpc_error_line(state_->id, error));
}

void RpcAnswer::rows(std::string_view key, RowSource source, Json rest) const {
  if (!state_->wanted) return;
  const std::shared_ptr<RpcClient> client = state_->client.lock();
  if (client == nullptr) return;
  std::string head = "{\"id\":" + text_of(state_->id) + ",\"jsonrpc\":\"2.0\",\"result\":{";
  for (const auto& [name, value] : rest.items()) {
    head += text_of(name) + ':' + text_of(value) + ',';
  }
  head += text_of(std::string(key)) + ":[";
  client->stream([head = std::move(head), source = std::move(source),
                  first = true](std::string& text) mutable {
    text += std::exchange(head, {});
    RpcRows rows(text, first);
    if (source(rows)) return true;
    text += "]}}\n";
    return false;
  });
  state_->wanted = false;
}

void RpcAnswer::rows(std::string_view key, Json array, Json rest) const {
  constexpr std::size_t kRows = 16;
  rows(
      key,
      [array = std::move(array), at = std::size_t{0}](RpcRows& rows) mutable {
        for (std::size_t i = 0; i < kRows && at < array.size(); ++i) rows.add(array[at++]);
        return at < array.size();
      },
      std::move(rest));
}

}  // namespace lanyard
