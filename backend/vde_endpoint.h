// SPDX-License-Identifier: MIT
//
// One VDE client's data socket: an Ethernet frame a datagram, both sides connected to each other.
// Its parts are given, not made here, so that a successor process can build it from a descriptor it
// inherits. Lane thread only.
#pragma once

#include <memory>
#include <string>

#include "backend/mmsg.h"
#include "backend/vde_directory.h"
#include "switch/base/fd.h"
#include "switch/base/log.h"
#include "switch/bridge/endpoint.h"

namespace lanyard {

// What all endpoints of a VDE switch share; the last of them to go takes it down.
struct VdeShared {
  std::shared_ptr<VdeDirectory> directory;
  DatagramBatches batches;
  Log& log;
};

class VdeEndpoint final : public Endpoint {
 public:
  // `socket_path` is unlinked with the endpoint; empty when there is nothing to unlink.
  VdeEndpoint(std::shared_ptr<VdeShared> shared, UniqueFd data, std::string socket_path,
              std::string description);
  ~VdeEndpoint() override;

  std::string label() const override { return description_; }
  Caps caps() const override { return caps_; }
  int wait_fd() const override { return data_.get(); }
  Rx receive(FrameBatch& into) override {
    return shared_->batches.receive(data_.get(), guess_, into);
  }
  Transmitted transmit(std::span<const Outgoing> frames) override;
  const std::string& socket_path() const { return socket_path_; }
  // Once its socket has a name.
  void own_socket(std::string path) { socket_path_ = std::move(path); }

 private:
  std::shared_ptr<VdeShared> shared_;
  UniqueFd data_;
  std::string socket_path_;
  std::string description_;
  Caps caps_;
  BurstGuess guess_;
  bool gone_reported_ = false;
};

}  // namespace lanyard
