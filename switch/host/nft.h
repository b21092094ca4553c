// SPDX-License-Identifier: MIT
//
// The kernel's packet filter through libnftables: commands in nft's own language, each text one
// transaction, which is done as a whole or not at all; lists as JSON. The thread that sets things
// up.
#pragma once

#include <memory>
#include <string>

#include "switch/base/result.h"
#include "switch/network/json_rpc.h"

struct nft_ctx;

namespace lanyard {

class Nft {
 public:
  static Result<Nft> open();

  // EPERM without CAP_NET_ADMIN; ENOENT when what it names is not there.
  Result<void> run(const std::string& commands);
  // The array "nftables" of what a list command gives; rules have their handles.
  Result<Json> list(const std::string& command);

 private:
  struct Free {
    void operator()(nft_ctx* context) const;
  };
  explicit Nft(nft_ctx* context) : context_(context) {}

  std::unique_ptr<nft_ctx, Free> context_;
};

}  // namespace lanyard
