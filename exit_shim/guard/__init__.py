"""The guard: judges orders by the policy and the book, and answers for what it holds back."""
