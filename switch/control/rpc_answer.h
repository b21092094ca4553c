// SPDX-License-Identifier: MIT
//
// The answer to one request, given now or later: a handle that methods keep until a gateway or a
// reload has spoken. The session may be gone by then, and nothing happens. An answer that is
// forgotten says so to the client, which would wait for ever otherwise; without memory for that the
// client is cut off.
//
// Long lists are not built as one value: rows come from a source, a few at a time, as the client
// reads them, so that 65,536 addresses neither hold up the frames nor pile up in memory.
// Lane thread only.
#pragma once

#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>

#include "switch/network/json_rpc.h"

namespace lanyard {

// Produces a part of a line; false when that was the last one.
using RpcTextSource = std::function<bool(std::string& text)>;

// Where an answer goes.
class RpcClient {
 public:
  virtual ~RpcClient() = default;
  // Both do nothing at std::bad_alloc.
  virtual void respond(std::string_view line) = 0;
  virtual void stream(RpcTextSource source) = 0;
  // Needs no memory.
  virtual void cut_off() = 0;
};

// Rows of a list, as JSON text.
class RpcRows {
 public:
  RpcRows(std::string& text, bool& first) : text_(text), first_(first) {}
  void add(const Json& row);

 private:
  std::string& text_;
  bool& first_;
};

class RpcAnswer {
 public:
  // Adds some rows; false when there are no more.
  using RowSource = std::function<bool(RpcRows& rows)>;

  // `wanted` is false for a notification.
  RpcAnswer(std::weak_ptr<RpcClient> client, Json id, bool wanted);

  void result(const Json& value) const;
  void done() const { result(Json::object()); }
  void error(const RpcError& error) const;
  void error(const Error& error) const { this->error(rpc_error_of(error)); }
  // Runs what makes the answer, where an exception may not leave: without memory there is none.
  template <typename Work>
  void attempt(Work&& work) const noexcept {
    try {
      work();
    } catch (const std::bad_alloc&) {
      state_->send_none();
    }
  }
  // An object with the array `key` and what is in `rest`.
  void rows(std::string_view key, RowSource source, Json rest = Json::object()) const;
  // The same from an array that is there.
  void rows(std::string_view key, Json array, Json rest = Json::object()) const;

  // The id of a request, for as long as it waits for its answer.
  class Waiting;
  Waiting waiting() const;

 private:
  struct State {
    std::weak_ptr<RpcClient> client;
    Json id;
    bool wanted = false;
    ~State();
    void send(std::string_view line);
    void send_none() noexcept;
  };
  std::shared_ptr<State> state_;
};

class RpcAnswer::Waiting {
 public:
  std::optional<Json> id() const;

 private:
  friend class RpcAnswer;
  explicit Waiting(std::weak_ptr<State> state) : state_(std::move(state)) {}

  std::weak_ptr<State> state_;
};

}  // namespace lanyard
