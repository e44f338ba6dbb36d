# Writes the golden values in this folder: `Rscript make.R` (made with R 4.2.2, pROC 1.18.0).
suppressMessages(library(pROC))
options(digits = 15)

save <- function(table, name) write.csv(table, name, row.names = FALSE, quote = FALSE)

# DeLong, on cases drawn here
draw <- function(set, n, positives, digits) {
  truth <- rep(c(1, 0), c(positives, n - positives))
  common <- rnorm(n)
  scores <- function(skill) round(skill * truth + common + rnorm(n), digits)
  data.frame(set = set, truth = truth, one = scores(1.2), other = scores(0.6))
}
set.seed(1)
cases <- rbind(
  draw("continuous", 60, 25, 4),
  draw("ties", 60, 25, 0),
  draw("few", 40, 3, 4)
)
save(cases, "delong_cases.csv")

delong <- do.call(rbind, lapply(split(cases, cases$set), function(drawn) {
  curve <- function(score) roc(drawn$truth, score, levels = c(0, 1), direction = "<")
  one <- curve(drawn$one)
  other <- curve(drawn$other)
  test <- roc.test(one, other, paired = TRUE, method = "delong")
  data.frame(
    set = drawn$set[1], auc_one = as.numeric(auc(one)), auc_other = as.numeric(auc(other)),
    variance_one = var(one, method = "delong"), variance_other = var(other, method = "delong"),
    covariance = cov(one, other, method = "delong"),
    z = unname(test$statistic), p = test$p.value
  )
}))
save(delong, "delong.csv")

# McNemar: the approval ratings of ?mcnemar.test (Agresti 1990, p. 350), and others
pairs <- data.frame(
  both = c(794, 40, 9, 50, 3), only_one = c(150, 7, 0, 12, 1),
  only_other = c(86, 1, 6, 12, 0), neither = c(570, 10, 4, 0, 2)
)
mcnemar <- do.call(rbind, lapply(seq_len(nrow(pairs)), function(row) {
  pair <- pairs[row, ]
  table <- matrix(c(pair$both, pair$only_other, pair$only_one, pair$neither), nrow = 2)
  wald <- mcnemar.test(table, correct = FALSE)
  exact <- binom.test(pair$only_one, pair$only_one + pair$only_other)
  cbind(pair, chi_squared = unname(wald$statistic), p = wald$p.value, exact_p = exact$p.value)
}))
save(mcnemar, "mcnemar.csv")

# Holm
p <- list(
  plain = c(0.01, 0.04, 0.03, 0.005), ties = c(0.02, 0.01, 0.02, 0.01, 0.5),
  capped = c(0.6, 0.9, 0.4), ends = c(1, 0, 0.2), one = 0.03, many = round(runif(28)^3, 5)
)
holm <- do.call(rbind, lapply(names(p), function(set) {
  data.frame(set = set, p = p[[set]], adjusted = p.adjust(p[[set]], method = "holm"))
}))
save(holm, "holm.csv")
