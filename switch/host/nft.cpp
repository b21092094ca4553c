// SPDX-License-Identifier: MIT
#include "switch/host/nft.h"

#include <nftables/libnftables.h>

#include <cerrno>
#include <cstring>

#include "switch/base/text.h"

namespace lanyard {
namespace {

// libnftables says what went wrong only in words, strerror's at the end of the first line.
Error error_of(nft_ctx* context) {
  const std::string_view all = nft_ctx_get_error_buffer(context);
  const std::string_view line = trim(all.substr(0, all.find('\n')));
  for (const int code : {EPERM, ENOENT, EEXIST, EBUSY, EOPNOTSUPP, EINVAL}) {
    if (all.find(std::strerror(code)) != std::string_view::npos) {
      return {code, fmt::format("nft: {}", printable(line))};
    }
  }
  return {EIO, fmt::format("nft: {}", line.empty() ? "no answer" : printable(line))};
}

}  // namespace

void Nft::Free::operator()(nft_ctx* context) const {
  nft_ctx_free(context);
}

Result<Nft> Nft::open() {
  nft_ctx* const context = nft_ctx_new(NFT_CTX_DEFAULT);
  if (context == nullptr) return Error{ENOMEM, "nft: cannot start libnftables"};
  Nft nft(context);
  if (nft_ctx_buffer_output(context) != 0 || nft_ctx_buffer_error(context) != 0) {
    return Error{ENOMEM, "nft: no memory for answers"};
  }
  return nft;
}

Result<void> Nft::run(const std::string& commands) {
  nft_ctx_output_set_flags(context_.get(), 0);
  if (nft_run_cmd_from_buffer(context_.get(), commands.c_str()) != 0) {
    return error_of(context_.get());
  }
  return {};
}

Result<Json> Nft::list(const std::string& command) {
  nft_ctx_output_set_flags(context_.get(), NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_HANDLE);
  if (nft_run_cmd_from_buffer(context_.get(), command.c_str()) != 0) {
    return error_of(context_.get());
  }
  Result<Json> json = parse_json(nft_ctx_get_output_buffer(context_.get()));
  if (!json) return json;
  const auto array = json.value().find("nftables");
  if (!json.value().is_object() || array == json.value().end() || !array->is_array()) {
    return Error{EBADMSG, "nft: the list is not as expected"};
  }
  return *array;
}

}  // namespace lanyard
