"""The relay's rivals: each router is a module here and a row in `evaluation.methods`.

Token routers decide while an answer is written: they are a call policy with a threshold. Query routers decide who
answers a whole question: they score questions, and are drawn from the records of the student and of the teacher.
"""
