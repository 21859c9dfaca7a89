# R's mclust, with the protocol of worker.py: em() makes an E-step at the start, then as many
# iterations, each an M-step and an E-step, as control says; at tol = 0 it stops early only when
# the likelihood no longer changes at all.

suppressMessages(library(mclust))

arguments <- commandArgs(trailingOnly = TRUE)
if (length(arguments) == 0) {
  cat(as.character(packageVersion("mclust")), "\n")
  quit()
}
folder <- arguments[1]
output <- arguments[2]
size <- as.integer(arguments[3:5])
n <- size[1]; d <- size[2]; K <- size[3]
model <- c(full = "VVV", tied = "EEE", diag = "VVI", spherical = "VII")[[arguments[6]]]

read <- function(name, count) readBin(file.path(folder, name), "double", count)
X <- matrix(read("X", n * d), n, d, byrow = TRUE)
variance <- read("variance", 1)
start <- switch(model,
  VVV = list(cholsigma = array(diag(sqrt(variance), d), c(d, d, K))),
  EEE = list(cholSigma = diag(sqrt(variance), d)),
  VVI = list(scale = rep(variance, K), shape = matrix(1, d, K)),
  VII = list(sigmasq = rep(variance, K))
)
parameters <- list(
  pro = read("weights", K),
  mean = matrix(read("means", K * d), d, K),
  variance = c(list(modelName = model, d = d, G = K), start)
)

covariances <- function(variance) switch(model,
  VVV = variance$sigma,
  EEE = variance$Sigma,
  VVI = variance$shape * rep(variance$scale, each = d),
  VII = variance$sigmasq
)

status_mb <- function(key) {
  if (!file.exists("/proc/self/status")) return(NaN)
  line <- grep(paste0("^", key), readLines("/proc/self/status"), value = TRUE)
  as.numeric(gsub("[^0-9]", "", line)) * 1024 / 1e6
}
forget_peak <- function() {
  if (file.exists("/proc/self/clear_refs")) cat("5", file = "/proc/self/clear_refs")
}
json <- function(number) if (is.nan(number)) "NaN" else sprintf("%.17g", number)

invisible(gc())
at_first <- status_mb("VmRSS")
input <- file("stdin", "r")
while (length(line <- readLines(input, 1)) > 0) {
  control <- emControl(itmax = as.integer(line), tol = 0)
  invisible(gc())
  before <- status_mb("VmRSS")
  forget_peak()
  began <- as.numeric(Sys.time())
  fitted <- em(X, modelName = model, parameters = parameters, control = control, warn = FALSE)
  seconds <- as.numeric(Sys.time()) - began
  peak <- status_mb("VmHWM")
  found <- fitted$parameters
  writeBin(c(found$pro, found$mean, covariances(found$variance)), output)
  cat(sprintf(
    '{"seconds": %s, "n_iter": %d, "working_mb": %s, "total_mb": %s}\n',
    json(seconds), as.integer(abs(attr(fitted, "info")[["iterations"]])),
    json(peak - before), json(peak - at_first)
  ))
  flush(stdout())
}
